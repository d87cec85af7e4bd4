// document.js: the page of one document, whose name is the fragment of the address.

import {el, enter, face, toast, userName} from '/demo/assets/page.js';
import {IndexeddbPersistence, Y, awareness, openEditor} from './editor.js';
import {Provider} from './provider.js';
import {welcome} from './welcome.js';

const MOST_TEXT = 200_000; // characters that can be typed into one document
const $ = (id) => document.getElementById(id);

const {user, client} = enter(userName());
let close = () => {};

// The name becomes part of two channels' names.
function nameOf(address) {
  const name = decodeURIComponent(address.hash.slice(1));
  return /^[a-z0-9][a-z0-9-]{0,39}$/.test(name) ? name : 'welcome';
}

async function open(name) {
  close();
  const end = new AbortController();
  const doc = new Y.Doc();
  const text = doc.getText('text');
  const presence = new awareness.Awareness(doc);
  presence.setLocalState({name: user, cursor: null});
  presence.on('change', () => showPeople(presence));
  $('title').textContent = name;
  document.title = `${name} · Ringdown`;
  showPeople(presence);
  showState({});

  let provider, view;
  // What was written and not sent outlives the page here, by user: it is published as theirs.
  const kept = new IndexeddbPersistence(`ringdown/document/${user}/${name}`, doc);
  close = () => {
    end.abort();
    provider?.close();
    view?.destroy();
    presence.destroy();
    kept.destroy();
    doc.destroy();
  };
  // A browser that keeps nothing must not keep the page from opening.
  await Promise.race([kept.whenSynced, new Promise((done) => setTimeout(done, 2000))]);
  if (end.signal.aborted) return;
  if (name === 'welcome') Y.applyUpdate(doc, welcome());
  provider = new Provider(client, name, doc, presence, showState);
  view = openEditor($('sheet'), text, presence, {
    label: `The text of ${name}`, hint: 'Nothing is written here yet. Begin.', most: MOST_TEXT,
    refused: () => toast(`A document has at most ${MOST_TEXT.toLocaleString('en')} characters.`, 'bad'),
  });
  globalThis.shared = {Y, doc, text, provider, presence, view, kept}; // to look at in the console
}

function showState({loaded, unsent, whole, error}) {
  const [kind, words] = error ? ['bad', `Not stored: ${error.message}`]
    : !loaded ? ['busy', 'Loading']
    : unsent ? ['busy', client.state === 'live' ? 'Storing' : 'Stored here, sent when the line is back']
    : !whole ? ['bad', 'A part may be missing']
    : ['good', 'Stored'];
  if ($('state').textContent !== words) $('state').textContent = words;
  $('state').dataset.kind = kind;
}

function showPeople(presence) {
  const names = new Set([...presence.getStates().values()].map((s) => s.name).filter((n) => typeof n === 'string' && n).map((n) => n.slice(0, 32)));
  $('people').replaceChildren(...[...names].sort().map((n) => el('li', {title: n}, face(n), el('span', {className: 'unseen'}, n))));
}

// The documents that were open in this browser, to be found again.
function remember(name) {
  const list = [name, ...recent().filter((n) => n !== name)].slice(0, 12);
  localStorage.setItem('documents', JSON.stringify(list));
  $('recent').replaceChildren(...list.map((value) => el('option', {value})));
}

function recent() {
  try {
    return JSON.parse(localStorage.getItem('documents') ?? '[]');
  } catch {
    return [];
  }
}

function show() {
  const name = nameOf(location);
  remember(name);
  open(name).catch(reportError);
}

$('other').onsubmit = (event) => {
  event.preventDefault();
  location.hash = $('name').value;
  $('name').value = '';
};
// The sheet below the last line belongs to the text.
$('sheet').onclick = (event) => event.target === $('sheet') && globalThis.shared?.view.focus();
addEventListener('hashchange', show);
addEventListener('pagehide', (event) => event.persisted || close()); // the others see at once that this one has left
show();
