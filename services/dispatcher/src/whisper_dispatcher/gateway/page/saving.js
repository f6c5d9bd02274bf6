// A transcript leaves the page: into the clipboard, or into a file.

import { element } from "./dom.js";

export const DOWNLOADS = [
  { label: "TXT", format: "text", ending: "txt" },
  { label: "SRT", format: "srt", ending: "srt" },
  { label: "VTT", format: "vtt", ending: "vtt" },
  { label: "JSON", format: "verbose_json", ending: "json" },
];

/** text: a promise, since some browsers let a click copy what it asks for but nothing that comes after it. */
export async function copyText(text) {
  try {
    // Pages that come over plain http have no clipboard of their own.
    await (window.ClipboardItem ? writeClipboard(text) : copySelected(await text));
  } catch {
    await text; // its own failure says more
    throw { code: "copy_refused" };
  }
}

function writeClipboard(text) {
  const blob = text.then((known) => new Blob([known], { type: "text/plain" }));
  return navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
}

function copySelected(text) {
  const field = element("textarea", { class: "unseen" }, text);
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("the browser did not copy");
}

export function saveFile(blob, recordingName, ending) {
  const address = URL.createObjectURL(blob);
  const stem = recordingName.replace(/\.[^.]+$/, "") || "transcript";
  element("a", { href: address, download: `${stem}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
