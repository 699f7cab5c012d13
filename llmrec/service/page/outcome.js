/** What became of words whose reply was not heard: where they arrived the server goes on, and keeps the turn. */

import { ask } from "./api.js";
import { conversationPath, here } from "./here.js";

/** Seconds between two looks: at a turn that is being worked on, and at one that may never have arrived. */
export const AT_WORK = [0, 1, 2, 4, 8, 15, 30, 60, 60, 60];
export const ARRIVED = [0, 2, 3];

/**
 * The conversation once it holds the words in a turn `after` another, and no new words are under way; null where it
 * never does, undefined where meanwhile somebody else is here, or another conversation.
 */
export async function outcomeOf(words, { after, pauses, busy }) {
  const { user, conversation } = here;
  for (const pause of pauses) {
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    if (user !== here.user || conversation !== here.conversation) return undefined;
    const found = await look(conversation);
    if (user !== here.user || conversation !== here.conversation) return undefined;
    if (!busy() && found?.turns.some(({ turn, said }) => turn > after && said === words)) return found;
  }
  return null;
}

async function look(conversation) {
  try {
    return await ask(conversationPath(conversation));
  } catch (error) {
    // A first turn that is being worked on is no conversation yet.
    if (error.status !== 404) console.warn(error);
    return null;
  }
}
