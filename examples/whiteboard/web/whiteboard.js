// whiteboard.js: the page of one board, whose name is the fragment of the address.

import {el, enter, face, toast, userName} from '/demo/assets/page.js';
import {keepOutbox} from '/v1/client/all.js';
import {Board} from './board.js';
import {asPNG, asSVG, colours, widths} from './ink.js';
import {Pen} from './pen.js';
import {View} from './view.js';

const $ = (id) => document.getElementById(id);
const {user, client} = enter(userName());
// What was drawn without a line, and not stored when the page was closed, the next page publishes.
keepOutbox(client, {user, settled: (m, result) => result instanceof Error && failed(result)});

const view = new View($('frame'));
let board, pen, name;

function failed(error) { toast(`Not stored: ${error.message}`, 'bad'); }

function open() {
  pen?.close();
  board?.close();
  const asked = decodeURIComponent(location.hash.slice(1));
  name = /^[a-z0-9][a-z0-9-]{0,39}$/.test(asked) ? asked : 'welcome';
  $('title').textContent = name;
  document.title = `${name} · Ringdown`;
  const mine = board = new Board(client, user, name, (what) => mine === board && changed(what), failed);
  pen = new Pen(view, board, chosen, (words) => { $('spoken').textContent = words; });
  view.moving = () => [...board.others.values()].map((o) => o.stroke).concat(pen.current ?? []);
  for (const what of ['strokes', 'live', 'cursors', 'people']) changed(what);
  globalThis.shared = {board, pen, view}; // to look at in the console
}

function changed(what) {
  if (what === 'strokes') {
    const strokes = board.strokes();
    view.strokes = strokes.map(([, s]) => s);
    view.soon('drawn');
    $('clear').disabled = strokes.length === 0;
    $('empty').hidden = strokes.length > 0;
    $('undo').disabled = board.own() === undefined;
  }
  if (what === 'cursors') {
    view.cursors = board.cursors;
    view.soon('tags');
  }
  if (what === 'people') {
    $('people').replaceChildren(...board.people.map((n) => el('li', {title: n}, face(n), el('span', {className: 'unseen'}, n))));
  }
  if (what === 'live' && board.others.size) $('empty').hidden = true;
  if (what !== 'people') view.soon('drawing');
}

// The tools.

const chosen = () => ({
  colour: document.querySelector('[name=colour]:checked').value,
  width: Number(document.querySelector('[name=width]:checked').value),
});

function swatch(group, value, words, mark, checked) {
  return el('label', {className: 'swatch', title: words}, el('input', {type: 'radio', name: group, value, checked, 'aria-label': words}), mark);
}

$('colours').append(...Object.entries(colours).map(([value, colour], n) => {
  const mark = el('i');
  mark.style.setProperty('--colour', colour);
  return swatch('colour', value, value === 'paper' ? 'paper, to rub out' : value, mark, n === 0);
}));
$('widths').append(...Object.entries(widths).map(([value, words]) => {
  const mark = el('i', {className: 'dot'});
  mark.style.setProperty('--size', `${Math.min(22, 3 + value / 2)}px`);
  return swatch('width', value, words, mark, value === '6');
}));

$('undo').onclick = () => board.undo();
addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === 'z' && event.target.tagName !== 'INPUT') {
    event.preventDefault();
    board.undo();
  }
});
$('in').onclick = () => view.nearer(1.5);
$('out').onclick = () => view.nearer(1 / 1.5);

// The server deletes all there are, and so everybody is told, who is not here too.
$('clear').onclick = () => { $('sure').returnValue = 'no'; $('sure').showModal(); };
$('sure').onclose = async () => {
  if ($('sure').returnValue !== 'yes') return;
  $('clear').disabled = true;
  try {
    await client.call('whiteboard-clear', {board: name});
  } catch (error) {
    toast(`The board was not cleared: ${error.message}`, 'bad');
    changed('strokes');
  }
};

function save(blob, ending) {
  const link = el('a', {href: URL.createObjectURL(blob), download: `${name}.${ending}`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
$('svg').onclick = () => save(asSVG(view.strokes), 'svg');
$('png').onclick = async () => save(await asPNG(view.strokes), 'png');

$('other').onsubmit = (event) => {
  event.preventDefault();
  location.hash = $('name').value;
  $('name').value = '';
};
addEventListener('hashchange', open);
open();
