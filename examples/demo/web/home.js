import {apps} from '/demo/assets/apps.js';
import {el, enter, remember, userName} from '/demo/assets/page.js';

const $ = (id) => document.getElementById(id);
const user = userName();
const {client} = enter(user);

// ---- the gallery

// The plain page shows what happens in the shop.
const plain = {name: 'plain', title: 'Twenty lines', href: '/demo/plain.html', picture: '/shop/pictures/scratch-post.svg', shows: 'no client at all',
  words: "The same events with nothing but the browser's WebSocket."};
const shop = apps.some(({name}) => name === 'shop');
const doors = [...apps.map((a) => ({...a, href: a.pages[0][0]})), ...(shop ? [plain] : [])];
for (const a of doors) {
  $('doors').append(el('a', {className: 'panel door-card', id: `to-${a.name}`, href: a.href}, el('img', {src: a.picture, alt: '', width: 320, height: 240}),
    el('span', {}, el('b', {}, a.title), a.words, el('i', {}, a.shows))));
}

// ---- you are…

function become(name) {
  $('name').value = name;
  if (!$('name').checkValidity()) return;
  remember(name);
  for (const link of $('doors').children) {
    const to = new URL(link.href);
    to.searchParams.set('user', name);
    link.href = to;
  }
  for (const b of $('names').querySelectorAll('button')) b.setAttribute('aria-pressed', b.textContent === name);
}

for (const name of ['ann', 'ben', 'cleo']) {
  $('names').append(el('li', {}, el('button', {className: 'pill small plain', type: 'button', onclick: () => become(name)}, name)));
}
$('name').oninput = () => become($('name').value);
$('who').onsubmit = (event) => { event.preventDefault(); location.assign($('doors').firstElementChild.href); };
become(user);

// ---- a call along the wire for each order, and one now and then to show it is open

const still = matchMedia('(prefers-reduced-motion: reduce)');
function call() {
  if (still.matches || document.hidden) return;
  document.querySelector('.call').animate([{offsetDistance: '0%', opacity: 1}, {offsetDistance: '100%', opacity: 1}], {duration: 1400, easing: 'ease-in-out'});
}
if (shop) client.channel('orders').on('*', call);
setInterval(() => client.state === 'live' && call(), 5000);

// ---- the file

const source = await (await fetch('/demo/ringdown.yaml')).text();
for (const row of source.trimEnd().split('\n')) {
  const [, text, comment] = row.match(/^(.*?)((?:^|\s)#.*)?$/);
  const [, key, rest] = text.match(/^(\s*(?:- )?[\w:{}.-]+:(?=\s|$))?(.*)$/);
  $('config').append(el('b', {}, key ?? ''), rest, el('i', {}, comment ?? ''), '\n');
}
$('copy').onclick = async () => {
  await navigator.clipboard.writeText(source);
  $('copy').textContent = 'Copied';
  setTimeout(() => $('copy').textContent = 'Copy the file', 2000);
};
