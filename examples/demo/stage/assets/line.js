// line.js: the browser's own WebSocket, kept open.
//
//   const line = openLine(token)                      token(): a promise of a fresh token
//   line.subscribe('orders', {message(m) {…}})        stays subscribed across reconnections
//   await line.request({type: 'order', data: {…}})    resolves with the ack, rejects with the error
//   line.watch(({name, until}) => …)                  connecting, live, waiting, offline, ended
//   openLine(token, {traffic})                        traffic('in' | 'out'), with every message
//
// Everything the server says is one JSON message with a `type`; nothing here is
// needed to talk to it (see plain.html), it only makes the talk outlive the network.

const quiet = 25_000; // ms without a word after which we ask whether anybody is there
const dead = 40_000; // ms without a word after which nobody is
const beat = 5_000; // ms between two looks at the line
const patience = 8_000; // ms in which an answer must come when we have been asleep
const firstWait = 500, longestWait = 20_000;
const longestLook = 3_000; // the longest wait while somebody looks at the page

export class Refusal extends Error {
  constructor({code, message, retryable, retry_after: seconds} = {}) {
    super(message ?? 'The line was lost before the answer came.');
    this.code = code ?? 'unavailable';
    this.retryable = retryable ?? true;
    this.after = (seconds || 1) * 1000; // ms
  }
}

export function openLine(token, {path = '/v1/ws', traffic = () => {}} = {}) {
  const subscriptions = new Map(); // channel → {handlers, position}
  const requests = new Map(); // id → {resolve, reject, timer}
  const watchers = new Set();
  let socket, state = {name: 'connecting'}, timer, attempt = 0, lastId = 0, heard = 0;
  let looked = Date.now(), answerBy = Infinity; // a ping is under way: when its pong must be here
  let current, renewed = false, refusal, comeBack; // comeBack: ms, as a draining server asked

  function become(name, more = {}) {
    state = {name, ...more};
    for (const watcher of watchers) watcher(state);
  }

  async function dial() {
    clearTimeout(timer);
    become('connecting');
    try {
      current ??= await token();
    } catch (error) {
      return error.fatal ? become('ended', {reason: error.message}) : wait();
    }
    const address = new URL(path, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    const mine = socket = new WebSocket(address);
    heard = Date.now();
    answerBy = Infinity;
    comeBack = refusal = undefined;
    mine.onopen = () => mine.send(JSON.stringify({type: 'auth', token: current}));
    mine.onmessage = (event) => mine === socket && typeof event.data === 'string' && hear(JSON.parse(event.data));
    mine.onclose = (event) => mine === socket && lost(event.code, event.reason);
  }

  function hear(m) {
    heard = Date.now();
    if (m.type === 'pong') answerBy = Infinity;
    if (m.type === 'welcome') {
      attempt = 0;
      renewed = false;
      become('live', m.data);
      for (const channel of subscriptions.keys()) enter(channel);
      return;
    }
    if (m.type === 'reconnect') comeBack = m.data.after + Math.random() * Math.max(0, m.data.within - m.data.after);
    if (m.type === 'error' && m.id === undefined) refusal = m.data;
    const request = requests.get(m.id);
    if (request) {
      requests.delete(m.id);
      clearTimeout(request.timer);
      if (m.type === 'error') request.reject(new Refusal(m.data));
      else request.resolve(m);
      if (m.type !== 'subscribed') return;
    }
    if (m.type !== 'pong') traffic('in');
    const s = subscriptions.get(m.channel);
    if (!s) return;
    if (m.type === 'subscribed') {
      // Not recovered means that something was missed for good: start again from here.
      s.position = m.epoch && {epoch: m.epoch, offset: m.offset};
      s.on.subscribed?.(m);
    } else if (m.type === 'state') {
      if (s.on.state) s.on.state(m);
      else for (const item of m.data.items) s.on.message?.({...item, channel: m.channel});
    } else if (m.type === 'gap') {
      if (m.data.to !== undefined && s.position) s.position.offset = m.data.to;
      s.on.gap?.(m);
    } else if (m.type !== 'error') {
      if (m.offset !== undefined && s.position) {
        if (m.offset <= s.position.offset) return; // seen before
        s.position.offset = m.offset;
      }
      s.on.message?.(m);
    }
  }

  function enter(channel) {
    const s = subscriptions.get(channel);
    const data = {rate: s.on.rate, last: s.position ? undefined : s.on.last};
    request({type: 'subscribe', channel, since: s.position, data}).catch((error) => {
      if (state.name !== 'live' || subscriptions.get(channel) !== s) return;
      if (error.retryable) setTimeout(() => state.name === 'live' && subscriptions.get(channel) === s && enter(channel), error.after);
      else s.on.refused?.(error);
    });
  }

  function lost(code, reason) {
    socket = undefined;
    for (const [id, r] of requests) {
      requests.delete(id);
      clearTimeout(r.timer);
      r.reject(new Refusal());
    }
    if ((code === 4001 || code === 4004) && !renewed) {
      renewed = true; // a new token mends this, once
      current = undefined;
      return dial();
    }
    if (code >= 4000 && code < 4100) return become('ended', {code, reason: refusal?.message ?? reason});
    if (code >= 4200 && code < 4300 && attempt === 0) return wait(comeBack ?? Math.random() * firstWait);
    wait(comeBack);
  }

  // Exponential backoff with full jitter: after an outage a thousand pages must
  // not come back in the same instant.
  function wait(ms = Math.random() * Math.min(document.hidden ? longestWait : longestLook, firstWait * 2 ** attempt)) {
    attempt++;
    become(navigator.onLine ? 'waiting' : 'offline', {until: Date.now() + ms});
    clearTimeout(timer);
    timer = setTimeout(dial, ms);
  }

  // Something has changed, so what was learnt by failing counts no more.
  function hurry() {
    attempt = 0;
    if (state.name === 'waiting' || state.name === 'offline') dial();
  }

  function request(message, timeout = 10_000) {
    return new Promise((resolve, reject) => {
      const id = ++lastId;
      if (socket?.readyState !== WebSocket.OPEN) return reject(new Refusal());
      const late = () => requests.delete(id) && reject(new Refusal({code: 'timeout', retryable: true, message: 'The server did not answer in time.'}));
      requests.set(id, {resolve, reject, timer: setTimeout(late, timeout)});
      socket.send(JSON.stringify({...message, id}));
      traffic('out');
    });
  }

  // Browsers answer the server's pings without telling the page, so the page asks
  // for itself. A machine that slept wakes up with a socket that looks open and may
  // long be dead, and with messages in it from before: only an answer proves that
  // somebody is there.
  function look(awake) {
    const now = Date.now(), slept = now - looked > 3 * beat;
    looked = now;
    if (state.name !== 'live') return;
    const silence = now - heard;
    if (silence > dead || now > answerBy) {
      socket.close();
      lost(4201);
    } else if (answerBy === Infinity && (slept || awake || silence > quiet)) {
      socket.send('{"type":"ping"}');
      answerBy = now + (slept || awake ? patience : dead - quiet);
    }
  }
  function wake() {
    hurry();
    look(true);
  }
  const pulse = setInterval(look, beat);
  addEventListener('online', wake); // it may be another network than before
  addEventListener('focus', hurry);
  addEventListener('offline', () => state.name === 'waiting' && become('offline', state));
  addEventListener('visibilitychange', () => document.hidden || wake());
  document.addEventListener('resume', wake); // after the browser had frozen the page
  dial();

  return {
    request,
    hurry,
    get state() { return state; },
    send: (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message)),
    // on: {message, subscribed, state, gap, refused: functions; last: how many earlier messages to
    // begin with; rate: how many deliveries a second of each key; since: the position to resume from}.
    // Without state(), what a snapshot holds is handed to message().
    subscribe(channel, on) {
      subscriptions.set(channel, {on, position: on.since});
      if (state.name === 'live') enter(channel);
    },
    position: (channel) => subscriptions.get(channel)?.position,
    unsubscribe(channel) {
      if (subscriptions.delete(channel)) this.send({type: 'unsubscribe', channel});
    },
    watch(watcher) {
      watchers.add(watcher);
      watcher(state);
    },
    close() {
      clearInterval(pulse);
      clearTimeout(timer);
      const open = socket;
      socket = undefined;
      open?.close(1000);
      become('ended', {reason: 'closed by the page'});
    },
  };
}
