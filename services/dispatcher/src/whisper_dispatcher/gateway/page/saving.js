// A transcript leaves the page: into the clipboard, or into a file.

import { element } from "./dom.js";

export const DOWNLOADS = [
  { label: "TXT", format: "text", ending: "txt" },
  { label: "SRT", format: "srt", ending: "srt" },
  { label: "VTT", format: "vtt", ending: "vtt" },
  { label: "JSON", format: "verbose_json", ending: "json" },
];

export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages that come over plain http have no clipboard of their own.
  const field = element("textarea", { class: "unseen" }, text);
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

export function saveFile(blob, recordingName, ending) {
  const address = URL.createObjectURL(blob);
  const stem = recordingName.replace(/\.[^.]+$/, "") || "transcript";
  element("a", { href: address, download: `${stem}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
