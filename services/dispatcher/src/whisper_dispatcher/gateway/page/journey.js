// The way of a job through the service: sent until it is accepted, then followed until it is over.

import { ApiError } from "./api.js";
import { pause, Turns } from "./turns.js";

const uploads = new Turns(2);
const streams = new Turns(3);
/** How long a job holds a stream that others wait for; a long one would hide a short one's text until its own end. */
const TURN_S = 10;
const LONGEST_PAUSE_S = 15;

export async function travel(api, job, options) {
  if (!job.isAccepted) await uploads.run(() => send(api, job, options));
  let wantsTurn = job.isAccepted && !job.isFinal;
  while (wantsTurn) wantsTurn = await streams.run(() => followForATurn(api, job));
}

/** Busy answers and lost ones are sent again with the same key, so that there is one job whatever happens. */
async function send(api, job, options) {
  const { signal } = job.leaving;
  const key = randomKey();
  while (!signal.aborted && !job.isAccepted) {
    job.update({ phase: "uploading", sent: 0, retryInS: null, isOffline: false });
    try {
      const onProgress = (sent) => job.update({ sent });
      job.takeApi(await api.upload(job.file, options, key, { onProgress, signal }));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      if (!error.canRetry) return job.update({ phase: "refused", problem: error });
      job.update({ retryInS: error.retryAfterS, isOffline: error.code === "network" });
      await pause(error.retryAfterS, signal);
    }
  }
}

/** Whether it wants another turn: others waited, and it goes on behind the last event that it heard. */
async function followForATurn(api, job) {
  const { signal: leaving } = job.leaving;
  if (leaving.aborted) return false;
  const turn = new AbortController();
  const end = () => turn.abort();
  leaving.addEventListener("abort", end);
  const clock = setInterval(() => streams.areWanted && end(), TURN_S * 1000);
  try {
    await follow(api, job, turn.signal);
  } finally {
    clearInterval(clock);
    leaving.removeEventListener("abort", end);
  }
  return turn.signal.aborted && !leaving.aborted && !job.isFinal;
}

async function follow(api, job, signal) {
  let delayS = 1;
  while (!signal.aborted && !job.isFinal) {
    try {
      const events = await api.events(job.id, job.lastEventId, signal);
      // Only then: a stream may end before it has told everything, which a final state from elsewhere would leave out.
      if (events === null) job.takeApi(await api.job(job.id));
      for await (const event of events ?? []) {
        delayS = 1;
        job.takeEvent(event);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404) return void job.dispatchEvent(new Event("gone"));
      if (!error.canRetry) return job.update({ problem: error });
      job.update({ isOffline: true });
    }
    if (!job.isFinal) await pause(delayS, signal);
    delayS = Math.min(delayS * 2, LONGEST_PAUSE_S);
  }
}

/** crypto.randomUUID is missing on pages that come over plain http. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
