/** The page is put together here; each part knows its place and listens to the news. */

import { startAppearance } from "./appearance.js";
import { startChat } from "./chat.js";
import { startFeedback } from "./feedback.js";
import { here, on } from "./here.js";
import { startKey } from "./key.js";
import { startLearning } from "./learning.js";
import { startList } from "./list.js";
import { startNotices } from "./notices.js";
import { readAddress, startPeople } from "./people.js";
import { startProfile } from "./profile.js";
import { startTabs } from "./tabs.js";
import { startWhy } from "./why.js";

const place = (name) => document.getElementById(name);

startNotices(place("banner"));
startAppearance(place("theme"));
// The address holds the user, so links within the page move the focus themselves.
for (const link of document.querySelectorAll("[data-skip]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    place(link.dataset.skip).focus();
    place(link.dataset.skip).scrollIntoView();
  });
}
const { field } = startPeople(place("person"));
startFeedback(place("lately"));
startList(field);
startWhy();
startTabs(document.querySelector("[role=tablist]"));
startChat(place("chat"));
startProfile(place("profile"));
startLearning(place("learning"));
on("person", () => {
  place("side").hidden = document.querySelector(".jump").hidden = !here.user;
});
await startKey(place("version"));
readAddress();
