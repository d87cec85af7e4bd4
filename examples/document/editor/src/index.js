// All of the libraries that the page uses, in one module: Yjs with what belongs to it, and
// the editor.

import * as Y from 'yjs';
import * as awareness from 'y-protocols/awareness';

export {IndexeddbPersistence} from 'y-indexeddb';
export {Y, awareness};
export {openEditor} from './editor.js';
