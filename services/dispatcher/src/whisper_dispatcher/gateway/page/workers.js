// The transcription servers of the fleet, each with what it does.

import { element } from "./dom.js";
import { CATALOGUES, clock, currentLanguage, t } from "./i18n.js";

/** A worker with its servers. at: the service's own clock, which the times are of. */
export function workerItem(worker, at) {
  const servers = worker.servers.map((server) => element("li", {}, serverText(server, at)));
  const facts = [
    worker.version && t("workerVersion", { version: worker.version }),
    t("workerUp", { time: clock(at - worker.started_at) }),
    worker.draining && t("workerDraining"),
  ];
  return element(
    "li",
    {},
    element("p", {}, element("strong", {}, worker.worker), ` · ${worker.model}`),
    element("p", { class: "meta" }, facts.filter(Boolean).join(" · ")),
    element("ul", {}, ...servers),
  );
}

/** What a server does; a state that this page does not know yet, in the service's own words. */
export function serverText({ doing, device, job, window, since, restarts }, at) {
  const now =
    job === null
      ? (CATALOGUES[currentLanguage()][`doing.${doing}`] ?? doing)
      : t("serverBusy", { part: window + 1, job, time: clock(at - since) });
  return [now, device, restarts > 0 && t("serverRestarts", { count: restarts })].filter(Boolean).join(" · ");
}
