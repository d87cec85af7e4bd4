// panel.js: one device in full: what it measures, what it was told (commands.js), and
// ways to tell it something.

import {clock, el, inPlace, randomId, toast} from '/demo/assets/page.js';
import {Commands} from './commands.js';

const $ = (id) => document.getElementById(id);

const stories = {
  online: 'It reports every two seconds while somebody watches.',
  silent: 'It is said to be online and has not reported for a while. If its connection is gone, the server waits 15 seconds for it to come back.',
  offline: 'It is not there. Commands are kept: if it is back before their deadline, it does them.',
};

export function openPanel({client, user, plugs, closed}) {
  const logs = new Map(); // device → Commands
  let id, log, stop = () => {}, settling = false, lastReport;

  // choose follows the two channels of a device.
  function choose(device) {
    stop();
    id = device;
    lastReport = undefined;
    $('hint').hidden = !!id;
    $('chosen').hidden = !id;
    if (!id) { stop = () => {}; return; }
    if (!logs.has(id)) logs.set(id, new Commands());
    log = logs.get(id);
    const mine = log, [commands, replies] = channels(id);
    const read = () => fill(mine, commands, replies).then(draw, () => {}); // without a line it is read when there is one
    const offs = [
      commands.on('command', (_, m) => { mine.command(m); draw(); }),
      replies.on('reply', (_, m) => { mine.reply(m); draw(); }),
      commands.when('subscribed', read),
      replies.when('subscribed', read),
    ];
    stop = () => offs.forEach((off) => off());
    read();
    draw();
  }

  const channels = (device) => ['commands', 'replies'].map((name) => client.channel(`devices:${device}:${name}`));

  async function fill(into, commands, replies) {
    const told = await commands.page({limit: 50});
    const done = await replies.page({limit: 200}); // behind the commands, so that none lacks its reply
    for (const m of told.messages) into.command(m);
    for (const m of done.messages) into.reply(m);
  }

  // ---- telling it something

  async function tell(verb, value) {
    const mine = log, [commands] = channels(id), within = Number($('within').value) * 1000;
    const command = {id: randomId(), verb, value, deadline: Date.now() + within};
    mine.send(command, user, Date.now());
    draw();
    try {
      // What was not sent by then need not be sent. Sent again over a break it is stored once.
      await commands.publish('command', command, {dedupe: command.id, timeout: within});
      mine.acked(command.id);
    } catch (error) {
      if (!['unknown', 'timeout', 'closed', 'aborted'].includes(error.code)) mine.rejected(command.id, error.message);
    }
    draw();
  }
  $('open').onclick = () => tell('valve', true);
  $('shut').onclick = () => tell('valve', false);
  $('reboot').onclick = () => tell('reboot', null);
  $('command').onsubmit = (event) => {
    event.preventDefault();
    tell('target', Number($('target').value));
  };
  $('close').onclick = () => closed();
  $('plug').onclick = async () => {
    $('plug').disabled = true;
    try {
      await client.call('devices-plug', {device: id, in: !plugs.get(id)});
    } catch (error) {
      toast(error.message, 'bad');
    }
    $('plug').disabled = false;
  };

  // settle ends what has had no answer in time, once the server has said so. Its clock
  // decides: that of its answers to HTTP.
  async function settle() {
    const mine = log, [commands, replies] = channels(id);
    if (settling || client.state !== 'live' || mine.due(Date.now()).length === 0) return;
    settling = true;
    try {
      const answer = await fetch('/devices/', {method: 'HEAD', cache: 'no-store'});
      const due = mine.due(Date.parse(answer.headers.get('Date')));
      if (due.length > 0) await fill(mine, commands, replies);
      for (const c of due) mine.all.get(c.id).silent = true;
    } catch {
      // It is asked again in a second.
    }
    settling = false;
    draw();
  }
  setInterval(() => id && (draw(), settle()), 1000);

  // ---- showing it

  const ends = {done: 'Done', refused: 'Refused', unknown: 'Not known', silent: 'No answer in time', rejected: 'Not taken', sending: 'Sending', stored: 'Stored'};

  function say(c) {
    const fate = log.fate(c), left = Math.ceil((c.deadline - Date.now()) / 1000);
    if (fate === 'stored') return left > 0 ? `Stored; waiting, ${left} s left` : 'Stored; waiting for a last word';
    if (fate === 'sending') return client.state === 'live' ? 'Sending' : 'Waiting for the line';
    const why = c.reply?.reason ?? (fate === 'rejected' ? c.refusal : '');
    return why ? `${ends[fate]}: ${why}` : ends[fate];
  }

  const told = (c) => ({valve: c.value === true ? 'Open the valve' : 'Shut the valve', target: `Heat to ${c.value} °C`, reboot: 'Reboot'})[c.verb] ?? c.verb;

  function row(c) {
    return el('li', {data: {id: c.id}}, el('span', {className: 'track', 'aria-hidden': 'true'}, el('i'), el('i'), el('i')),
      el('div', {}, el('b', {}, told(c)), el('span', {className: 'quiet by'}), el('span', {className: 'fate'})));
  }

  function draw() {
    if (!id) return;
    const list = log.newestFirst.slice(0, 50);
    inPlace($('log'), list, (c) => `${id} ${c.id}`, row, (li, c) => {
      li.dataset.fate = log.fate(c);
      const set = (selector, text) => { const e = li.querySelector(selector); if (e.textContent !== text) e.textContent = text; };
      set('.by', ` ${c.from ?? ''}, ${clock(c.stored?.time ?? c.sent)}`);
      set('.fate', say(c));
    });
    $('log-empty').hidden = list.length > 0;
    const known = plugs.has(id), isIn = plugs.get(id);
    $('plug').hidden = !known;
    $('plug').textContent = isIn ? 'Pull the plug' : 'Plug it in';
    $('plug-words').textContent = !known ? 'It runs somewhere else.' : isIn ? 'It has power.' : 'It has no power.';
  }

  return {
    choose,
    show: () => { $('detail').scrollIntoView({block: 'nearest'}); $('detail').focus({preventScroll: true}); },
    draw(d, state) {
      $('name').textContent = d.id;
      $('detail').dataset.state = state;
      $('status').textContent = {online: 'Online', silent: 'Silent', offline: 'Offline'}[state];
      const why = state === 'offline' && d.status?.reason;
      $('story').textContent = (why ? `${why[0].toUpperCase()}${why.slice(1)}. ` : '') + stories[state];
      if (d.report !== lastReport) {
        lastReport = d.report;
        const r = d.report ?? {};
        const rows = d.report ? [['Site', r.site], ['Air', `${r.temperature.toFixed(1)} °C, heated to ${r.target}`], ['Soil', `${r.moisture} % moist`],
          ['Valve', r.valve ? 'open' : 'shut'], ['Battery', `${r.battery} %`], ['Signal', `${r.signal} dBm`]] : [];
        $('readings').replaceChildren(...rows.flatMap(([name, text]) => [el('dt', {}, name), el('dd', {className: 'tally'}, text)]));
      }
      draw();
    },
  };
}
