// The page: signed out or signed in, and in which language.

import { Api, isPossibleKey } from "./api.js";
import { announce, byId } from "./dom.js";
import { chooseLanguage, currentLanguage, problemText, showLanguage } from "./i18n.js";
import { Fleet } from "./fleet.js";
import { Intake } from "./intake.js";
import { JobList } from "./job_list.js";

const KEY = "whisperfleet.key";
const WRONG_KEY = { code: "invalid_api_key" };

let api = null;
let jobs = null;
let fleet = null;
let intake = null;

function showSignIn(problem = null) {
  jobs?.leave();
  jobs = null;
  fleet?.leave();
  fleet = null;
  intake?.leave();
  api?.leave();
  api = null;
  announce("");
  sessionStorage.removeItem(KEY);
  byId("workspace").hidden = byId("sign-out").hidden = true;
  byId("sign-in").hidden = false;
  byId("key-problem").textContent = problem ? problemText(problem) : "";
  byId("key").value = "";
  byId("key").focus();
}

/** Shows a signed-in page only once the service has taken the key. */
async function enter(key) {
  if (!isPossibleKey(key)) return showSignIn(WRONG_KEY);
  api = new Api(key, () => showSignIn(WRONG_KEY));
  let models;
  try {
    models = await api.models();
  } catch (error) {
    return error.status === 401 ? null : showSignInKeeping(key, error);
  }
  sessionStorage.setItem(KEY, key);
  byId("sign-in").hidden = true;
  byId("workspace").hidden = byId("sign-out").hidden = false;
  byId("problem").textContent = "";
  jobs = new JobList(api);
  fleet = new Fleet(api);
  intake ??= new Intake((files, options) => jobs.send(files, options));
  intake.setModels(models);
  byId("files").focus();
  fleet.start();
  await jobs.load().catch((error) => (byId("problem").textContent = problemText(error)));
}

/** The service cannot be reached: the key may well be right. */
function showSignInKeeping(key, problem) {
  showSignIn(problem);
  byId("key").value = key;
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  event.submitter.disabled = true;
  await enter(byId("key").value.trim());
  event.submitter.disabled = false;
});
byId("sign-out").addEventListener("click", () => showSignIn());
byId("more").addEventListener("click", () => jobs.loadMore());
byId("language").addEventListener("change", (event) => chooseLanguage(event.target.value));
document.addEventListener("words", () => {
  jobs?.render();
  fleet?.render();
  intake?.render();
});

/** Closing the tab loses what only it has. */
addEventListener("beforeunload", (event) => {
  if (jobs?.isSending || intake?.isRecording) event.preventDefault();
});

byId("language").value = currentLanguage();
showLanguage();
const kept = sessionStorage.getItem(KEY);
if (kept) enter(kept);
else showSignIn();
