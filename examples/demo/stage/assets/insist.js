// insist.js: a call that is asked again until it is answered.
//
// A line that breaks after a call was sent leaves open whether it was done (the error is
// `unknown`). Asking again is safe if the call carries a reference that the application
// knows again: the second answer is then that of the first. Errors that asking again
// would not mend are thrown.

import {randomId} from './page.js';

const passing = (error) => error.retryable || error.code === 'unknown' || error.code === 'timeout';

export async function insist(client, event, data) {
  for (let pause = 250; ; pause = Math.min(2 * pause, 4000)) {
    try {
      return await client.call(event, data); // without a line it waits for one, ten seconds long
    } catch (error) {
      if (!passing(error)) throw error;
      await new Promise((done) => setTimeout(done, Math.max(pause, error.retryAfter ?? 0)));
    }
  }
}

// Pending are the questions of a user that were not answered yet, by their references.
// They are kept for the tab, so that a page that is loaded again asks them again.
export class Pending extends Map {
  constructor(name) {
    super(); // not with the entries: set needs the name
    this.name = name;
    for (const [reference, question] of JSON.parse(sessionStorage.getItem(name) ?? '[]')) super.set(reference, question);
  }
  add(question) {
    const reference = randomId();
    this.set(reference, {...question, reference});
    this.keep();
    return this.get(reference);
  }
  drop(reference) {
    if (this.delete(reference)) this.keep();
  }
  keep() { sessionStorage.setItem(this.name, JSON.stringify([...this])); }
}
