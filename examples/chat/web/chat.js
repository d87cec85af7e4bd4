import {clock, el, enter, face, inPlace, randomId, toast, userName} from '/demo/assets/page.js';

const $ = (id) => document.getElementById(id);
const {user, line, api} = enter(userName());

const uploaded = /^\/chat\/uploads\/[0-9a-f]{32}\.(png|jpg|gif|webp)$/;
const maxImage = 5 << 20;
const typingEvery = 2500, typingLasts = 4000; // ms

const rooms = new Map(); // name → Room
let room; // the one on the screen

// A room keeps everything said in it while this page is open, whichever room is
// on the screen and however often the line is lost.
class Room {
  messages = new Map(); // message id → message
  typing = new Map(); // user → until when
  members = new Map(); // connection → user
  unread = 0;
  entered = false;

  constructor(name) {
    this.name = name;
    this.channel = `chat:${name}`;
  }

  // Who subscribes for the first time attends once the server has said so.
  open() {
    if (this.entered) return void (line.state.name === 'live' && attend(this));
    this.entered = true;
    line.subscribe(this.channel, {
      last: 50,
      message: (m) => this.hear(m),
      subscribed: (m) => {
        if (m.data?.recovered === false) this.catchUp();
        if (this === room) attend(this);
      },
      gap: () => this.catchUp(),
      refused: (error) => toast(error.message, 'bad'),
    });
  }

  // The server could not hand over everything since we left; it may still have it in its history.
  async catchUp() {
    try {
      const {data} = await line.request({type: 'history', channel: this.channel, data: {limit: 50}});
      data.messages.forEach((m) => this.hear(m));
    } catch (error) {
      toast(error.message, 'bad');
    }
  }

  hear(m) {
    const who = m.from ?? 'somebody';
    if (m.type === 'typing') {
      if (who !== user) this.typing.set(who, Date.now() + typingLasts);
      if (this === room) showTyping();
    } else if (m.type === 'presence') {
      const {action, member} = m.data;
      if (action === 'members') this.meet(m.data); // too much has happened to be told one by one
      else if (action === 'leave') this.members.delete(member.id);
      else this.members.set(member.id, member.user);
      if (this === room) showMembers();
    } else if (m.type === 'message') {
      const id = m.data.id ?? `${m.time}-${m.offset}`;
      const isNew = !this.messages.has(id);
      this.messages.set(id, {id, who, time: m.time ?? Date.now(), offset: m.offset ?? 0, ...pick(m.data), state: 'sent'});
      this.typing.delete(who);
      if (this === room) show();
      else if (isNew && who !== user) { this.unread++; showRooms(); }
    }
  }

  meet({members}) {
    this.members = new Map(members.map((m) => [m.id, m.user]));
    if (this === room) showMembers();
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

  async deliver(m) {
    try {
      if (m.file) {
        m.image = await upload(m.file);
        delete m.file;
      }
      if (line.state.name !== 'live') return; // goes out when the line is back
      const data = {id: m.id, text: m.text};
      if (m.image) data.image = m.image;
      // The same dedupe at every try: the server keeps it once.
      await line.request({type: 'message', channel: this.channel, dedupe: m.id, data});
      m.state = 'sent';
    } catch (error) {
      if (error.retryable && m.state === 'sending') return void setTimeout(() => this.messages.get(m.id) === m && this.deliver(m), error.after);
      m.state = 'failed';
      toast(error.message, 'bad');
    }
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
  if (before) line.send({type: 'presence', channel: before.channel, data: {action: 'leave'}});
}

async function attend(r) {
  try {
    await line.request({type: 'presence', channel: r.channel, data: {action: 'enter'}});
    const {data} = await line.request({type: 'presence', channel: r.channel, data: {action: 'get'}});
    r.meet(data);
  } catch {
    // The line was lost; coming back attends again.
  }
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

line.subscribe('rooms', {
  async subscribed() {
    const answer = await api('/chat/rooms').catch(() => ({rooms: []}));
    answer.rooms.forEach((r) => roomNamed(r.name));
    showRooms();
  },
  message: (m) => { roomNamed(m.data.name); showRooms(); },
});

addEventListener('hashchange', () => go(decodeURIComponent(location.hash.slice(1)) || 'lobby'));

line.watch((state) => {
  if (state.name !== 'live' || !room) return;
  for (const r of rooms.values()) for (const m of r.messages.values()) if (m.state === 'sending') r.deliver(m);
});

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
  const names = [...new Set(room.members.values())].sort();
  $('here').replaceChildren(...names.slice(0, 5).map((n) => {
    const item = el('li', {title: n}, face(n), el('span', {}, n));
    return item;
  }), names.length > 5 ? el('li', {className: 'quiet'}, `and ${names.length - 5} more`) : '');
}

let typingTimer;
function showTyping() {
  clearTimeout(typingTimer);
  const now = Date.now();
  for (const [who, until] of room.typing) if (until <= now) room.typing.delete(who);
  const names = [...room.typing.keys()];
  $('typing').textContent = names.length === 0 ? ''
    : names.length === 1 ? `${names[0]} is typing`
    : names.length < 4 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)} are typing`
    : `${names.length} people are typing`;
  $('typing').classList.toggle('on', names.length > 0);
  if (names.length) typingTimer = setTimeout(showTyping, Math.max(50, Math.min(...room.typing.values()) - now));
}

// ---- saying something

let attached, lastTyping = 0;

$('composer').onsubmit = (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text && !attached) return;
  room.say({text, file: attached});
  $('text').value = '';
  lastTyping = 0;
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
  const now = Date.now();
  if (!$('text').value || now - lastTyping < typingEvery) return;
  lastTyping = now;
  line.send({type: 'typing', channel: room.channel, data: {}});
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
