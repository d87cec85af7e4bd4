// welcome.js: what the document "welcome" begins with.

import {Y} from './editor.js';

const words = `Write here

This text is shared. Open it in a second window, as somebody else, and write in both at once.

Things to try:

- Write in the same line at the same time. Nobody's letters are lost, and both windows end with the same text.
- Cut the network, write on in both windows, and put it back. Both texts are merged.
- Close the page while the network is cut, and open it again later: what you wrote is still sent.
- Undo takes back what you wrote, and nobody else's words.
`;

// welcome answers with an update that is the same wherever it is made, from an author
// of its own: so every page may apply it, and it is there once. Whoever changes the
// words gives the author another number, or two texts would claim the same place.
export function welcome() {
  const doc = new Y.Doc();
  doc.clientID = 1;
  doc.getText('text').insert(0, words);
  return Y.encodeStateAsUpdate(doc);
}
