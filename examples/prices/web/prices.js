// prices.js: the page. Prices go from the channels to the board (board.js) and are
// counted (flow.js); orders go from the ticket to the call, and come back as trades
// (desk.js).

import {enter, toast, userName} from '/demo/assets/page.js';
import {board} from './board.js';
import {desk} from './desk.js';
import {flow} from './flow.js';

const $ = (id) => document.getElementById(id);
const rates = [0.1, 0.2, 0.5, 1, 2, undefined]; // deliveries a second of each market; undefined: all there are

// A channel that nobody follows any more is let go at once: see changeRate.
const user = userName();
const {client} = enter(user, {grace: 0});
const sheet = await (await fetch('/prices/markets.json')).json();

const shown = board($('markets'), sheet, (symbol) => ticket.choose(symbol));
const counted = flow(client);
const ticket = desk(client, user, sheet, shown);

// ---- what the channels say

let stops = [];
function follow() {
  const rate = rates[$('rate').value];
  for (const {id} of sheet.markets) {
    const channel = client.channel(`prices:${id}`, {rate});
    const {state} = channel;
    stops.push(
      state.on(({key, value, message}) => {
        if (key === undefined) state.forEach((price, symbol) => shown.set(symbol, price)); // all of it
        else if (value) shown.set(key, value, true);
        if (message) counted.message(id, message.offset);
      }),
      channel.when('subscribed', () => counted.begin(id)),
      channel.when('failed', ({error}) => toast(error.message, 'bad')));
  }
}

// Another pace is another subscription, which begins with what is held now.
function changeRate() {
  for (const stop of stops) stop();
  stops = [];
  setTimeout(() => stops.length || follow(), 10); // when the old one has been let go
}

function sayRate() {
  const rate = rates[$('rate').value];
  const said = rate === undefined ? 'every change' : rate < 1 ? `the newest, once in ${Math.round(1 / rate)} s` : rate === 1 ? 'the newest, once a second' : `the newest, ${rate} times a second`;
  $('rate-now').value = said;
  $('rate').setAttribute('aria-valuetext', said);
}
$('rate').oninput = sayRate;
$('rate').onchange = changeRate;
sayRate();
follow();
