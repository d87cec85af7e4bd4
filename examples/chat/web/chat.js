import {keepOutbox, sync} from '/v1/client/all.js';
import {clock, el, enter, face, inPlace, randomId, toast, userName} from '/demo/assets/page.js';

const $ = (id) => document.getElementById(id);
const uploaded = /^\/chat\/uploads\/[0-9a-f]{32}\.(png|jpg|gif|webp)$/;
const maxImage = 5 << 20;

const rooms = new Map(); // name → Room
let room; // the one on the screen

// What is said without a line is said when it is back, within a day, and by the next page
// if this one is closed before. What then was refused is shown, to be tried again.
const {user, client, api} = enter(userName(), {publishTimeout: 86_400_000});
keepOutbox(client, {user, settled({channel, data}, result) {
  if (result instanceof Error) roomNamed(channel.slice('chat:'.length)).refused(data, result);
}});

// A room keeps everything said in it while this page is open, whichever room is
// on the screen.
class Room {
  messages = new Map(); // message id → message
  unread = 0;

  constructor(name) {
    this.name = name;
    this.channel = client.channel(`chat:${name}`, {last: 50});
  }

  // It is followed from the first visit on, and its people are watched.
  open() {
    if (this.opened) return;
    this.opened = true;
    this.channel.on('message', (_, m) => this.hear(m));
    this.channel.when('gap', () => this.catchUp());
    this.channel.when('failed', ({error}) => toast(error.message, 'bad'));
    this.channel.presence.on(() => this === room && showMembers());
    this.channel.typing.on(() => this === room && showTyping());
  }

  // The server could not hand over everything since we left; it may still have it in its history.
  async catchUp() {
    try {
      (await this.channel.page({limit: 50})).messages.forEach((m) => m.type === 'message' && this.hear(m));
    } catch (error) {
      toast(error.message, 'bad');
    }
  }

  hear(m) {
    const who = m.from ?? 'somebody', id = m.data.id ?? `${m.time}-${m.offset}`;
    const isNew = !this.messages.has(id);
    this.messages.set(id, {id, who, time: m.time, offset: m.offset, ...pick(m.data), state: 'sent'});
    if (this === room) show();
    else if (isNew && who !== user) { this.unread++; showRooms(); }
  }

  get ordered() {
    const waits = (m) => m.state === 'sent' ? 0 : 1;
    return [...this.messages.values()].sort((a, b) => waits(a) - waits(b) || a.time - b.time || a.offset - b.offset);
  }

  async say(content) {
    const m = {id: randomId(), who: user, time: Date.now(), offset: 0, ...content, state: 'sending'};
    this.messages.set(m.id, m);
    show();
    await this.deliver(m);
  }

  // The client keeps it and sends it again until the server has answered. The same dedupe
  // at every try: the server keeps it once.
  async deliver(m) {
    try {
      if (m.file) {
        m.image = await upload(m.file);
        delete m.file;
      }
      const data = {id: m.id, text: m.text, ...(m.image && {image: m.image})};
      await this.channel.publish('message', data, {dedupe: m.id});
      m.state = 'sent';
      if (this === room) show();
    } catch (error) {
      // An image goes by HTTP, which does not wait for the line.
      if (error instanceof TypeError) return void setTimeout(() => this.deliver(m), 1000);
      this.refused(m, error);
    }
  }

  // What has been heard meanwhile was stored, whatever became of the answer.
  refused(m, error) {
    if (this.messages.get(m.id)?.state === 'sent') return;
    this.messages.set(m.id, {who: user, time: Date.now(), offset: 0, ...m, state: 'failed'});
    toast(error.message, 'bad');
    if (this === room) show();
  }
}

const pick = ({text, image}) => ({
  text: typeof text === 'string' ? text : '',
  image: image && uploaded.test(image.url) ? image : undefined,
});

// ---- rooms

function roomNamed(name) {
  if (!rooms.has(name)) rooms.set(name, new Room(name));
  return rooms.get(name);
}

function go(name) {
  const next = roomNamed(name);
  if (next === room) return;
  const before = room;
  room = next;
  room.unread = 0;
  room.open();
  history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  $('room').textContent = name;
  document.title = `${name} · Ringdown chat`;
  $('messages').replaceChildren();
  atEnd = true;
  showRooms();
  show();
  showMembers();
  showTyping();
  // Whoever is there is there for as long as this room is on the screen.
  room.channel.presence.enter().catch(() => {});
  before?.channel.typing.stop();
  before?.channel.presence.leave().catch(() => {});
}

function showRooms() {
  const list = [...rooms.values()].sort((a, b) => a.name.localeCompare(b.name));
  inPlace($('rooms'), list, (r) => r.name, (r) => el('li', {}, el('a', {href: `#${r.name}`}, el('span', {}, r.name), el('b', {className: 'unread'}))),
    (row, r) => {
      const link = row.firstChild;
      if (r === room) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
      link.lastChild.textContent = r.unread || '';
      link.lastChild.title = r.unread ? `${r.unread} unread` : '';
    });
}

$('new-room').onsubmit = async (event) => {
  event.preventDefault();
  const name = $('room-name').value.trim().toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  if (!name) return toast('A room is named with letters and digits.', 'bad');
  try {
    await api('/chat/rooms', {method: 'POST', body: {name}});
    $('room-name').value = '';
    go(name);
    $('text').focus();
  } catch (error) {
    toast(error.message, 'bad');
  }
};

sync(client.channel('rooms'), {
  load: async () => ({data: (await api('/chat/rooms')).rooms}),
  loaded: (list) => list.forEach(known),
  apply: ({data}) => known(data),
});

function known({name}) {
  roomNamed(name);
  showRooms();
}

addEventListener('hashchange', () => go(decodeURIComponent(location.hash.slice(1)) || 'lobby'));

// ---- what was said

// Whoever reads the end of the log stays there: new messages, images that grow
// and keyboards that open do not push it out of sight.
let atEnd = true;
const toEnd = () => { $('scroll').scrollTop = $('scroll').scrollHeight; };
$('scroll').onscroll = () => { atEnd = $('scroll').scrollHeight - $('scroll').scrollTop - $('scroll').clientHeight < 80; };
const stay = new ResizeObserver(() => atEnd && toEnd());
stay.observe($('scroll'));
stay.observe($('messages'));

function show() {
  const list = room.ordered;
  $('empty').hidden = list.length > 0;
  inPlace($('messages'), list, (m) => m.id, () => el('li'), (row, m) => {
    const before = list[list.indexOf(m) - 1];
    const follows = before?.who === m.who && m.time - before.time < 5 * 60_000;
    row.className = `${m.who === user ? 'own' : 'other'} ${m.state} ${follows ? 'follows' : ''}`;
    if (row.dataset.shown === `${m.state} ${follows}`) return;
    row.dataset.shown = `${m.state} ${follows}`;
    row.replaceChildren(
      !follows && m.who !== user ? face(m.who) : '',
      el('div', {className: 'bubble'},
        el('p', {className: follows ? 'byline unseen' : 'byline'}, el('b', {}, m.who), ' ', el('time', {dateTime: new Date(m.time).toISOString()}, clock(m.time))),
        picture(m),
        m.text && el('p', {className: 'text'}, ...linked(m.text)),
        m.state === 'failed' && el('p', {className: 'acts'},
          el('button', {className: 'pill small plain', type: 'button', onclick: () => { m.state = 'sending'; show(); room.deliver(m); }}, 'Try again'),
          el('button', {className: 'pill small plain', type: 'button', onclick: () => discard(m)}, 'Discard'))));
  });
  if (list.at(-1)?.state === 'sending') atEnd = true;
  if (atEnd) toEnd();
}

// What was refused is taken back; its text, if it has one, can be mended.
function discard(m) {
  room.messages.delete(m.id);
  if (!$('text').value.trim()) $('text').value = m.text;
  show();
  grow();
  $('text').focus();
}

// Addresses become links; what ends the sentence is not part of them.
const address = /\bhttps?:\/\/[^\s<>"]+[^\s<>"'.,;:!?)\]}]/g;
function linked(text) {
  const parts = [];
  let at = 0;
  for (const {0: href, index} of text.matchAll(address)) {
    parts.push(text.slice(at, index), el('a', {href, target: '_blank', rel: 'noopener noreferrer nofollow'}, href));
    at = index + href.length;
  }
  return [...parts, text.slice(at)];
}

function picture(m) {
  if (m.file) return el('img', {className: 'picture', src: URL.createObjectURL(m.file), alt: 'Your image, on its way', onload: (event) => URL.revokeObjectURL(event.target.src)});
  if (!m.image) return null;
  const {url, width, height} = m.image;
  const img = el('img', {className: 'picture', src: url, alt: `Image from ${m.who}`, loading: 'lazy'});
  if (width && height) Object.assign(img, {width, height});
  return el('a', {href: url, target: '_blank', rel: 'noopener'}, img);
}

function showMembers() {
  const members = [...room.channel.presence.members.values()];
  const names = [...new Set(members.map((m) => m.user))].sort();
  $('here').replaceChildren(...names.slice(0, 5).map((n) => el('li', {title: n}, face(n), el('span', {}, n))),
    names.length > 5 ? el('li', {className: 'quiet'}, `and ${names.length - 5} more`) : '');
}

function showTyping() {
  const names = [...room.channel.typing.users].filter((name) => name !== user);
  $('typing').textContent = names.length === 0 ? ''
    : names.length === 1 ? `${names[0]} is typing`
    : names.length < 4 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)} are typing`
    : `${names.length} people are typing`;
  $('typing').classList.toggle('on', names.length > 0);
}

// ---- saying something

let attached;

$('composer').onsubmit = (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text && !attached) return;
  room.say({text, file: attached});
  $('text').value = '';
  room.channel.typing.stop();
  attach();
  grow();
};

$('text').onkeydown = (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $('composer').requestSubmit();
};

$('text').oninput = () => {
  grow();
  if ($('text').value.trim()) room.channel.typing.active();
  else room.channel.typing.stop();
};

function grow() {
  const text = $('text');
  text.style.height = 'auto';
  text.style.height = `${Math.min(text.scrollHeight + 3, 160)}px`;
}

$('attach').onclick = () => $('file').click();
$('file').onchange = () => attach($('file').files[0]);
addEventListener('paste', (event) => {
  const file = [...event.clipboardData.files].find((f) => f.type.startsWith('image/'));
  if (file) attach(file);
});
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => {
  event.preventDefault();
  attach(event.dataTransfer.files[0]);
});

function attach(file) {
  attached = undefined;
  $('file').value = '';
  $('attached').hidden = !file;
  $('attached').replaceChildren();
  if (!file) return;
  if (!['image/png', 'image/jpeg', 'image/gif', 'image/webp'].includes(file.type) || file.size > maxImage) {
    $('attached').hidden = true;
    return toast('An image can be a PNG, JPEG, GIF or WebP of at most 5 MB.', 'bad');
  }
  attached = file;
  const img = el('img', {src: URL.createObjectURL(file), alt: '', onload: () => URL.revokeObjectURL(img.src)});
  $('attached').append(img, el('span', {}, file.name), el('button', {className: 'pill small plain', type: 'button', onclick: () => attach()}, 'Remove'));
  $('text').focus();
}

// Images never go through the socket: they are uploaded, and the message names them.
async function upload(file) {
  const [{url}, size] = await Promise.all([
    api('/chat/uploads', {method: 'POST', body: file}),
    createImageBitmap(file).then((b) => ({width: b.width, height: b.height})).catch(() => ({})),
  ]);
  return {url, ...size};
}

const other = user === 'ben' ? 'ann' : 'ben';
$('second').href = `/chat/?user=${other}`;
$('second').textContent = `open a second window as ${other}`;

roomNamed('lobby');
go(decodeURIComponent(location.hash.slice(1)) || 'lobby');
