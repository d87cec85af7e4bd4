// prices.js: the page. Prices go from the channels to the board (board.js) and are
// counted (flow.js); orders go from the ticket to the call, and come back as trades
// (desk.js).

import {enter, toast, userName} from '/demo/assets/page.js';
import {board} from './board.js';
import {desk} from './desk.js';
import {flow} from './flow.js';

const $ = (id) => document.getElementById(id);
const rates = [0.1, 0.2, 0.5, 1, 2, undefined]; // deliveries a second of each market; undefined: all there are

const user = userName();
const {client} = enter(user);
const sheet = await (await fetch('/prices/markets.json')).json();

const shown = board($('markets'), sheet, (symbol) => ticket.choose(symbol));
const counted = flow(client);
const ticket = desk(client, user, sheet, shown);

// ---- what the channels say

const market = (id) => client.channel(`prices:${id}`, {rate: rates[$('rate').value]});

function follow(id) {
  const channel = market(id);
  const {state} = channel;
  state.on(({key, value, message}) => {
    if (key === undefined) state.forEach((price, symbol) => shown.set(symbol, price)); // all of it
    else if (value) shown.set(key, value, true);
    if (message) counted.message(id, message.offset);
  });
  channel.when('failed', ({error}) => toast(error.message, 'bad'));
}

// Another pace goes on from where it is: nothing has to be sent again.
const changeRate = () => sheet.markets.forEach(({id}) => market(id));

function sayRate() {
  const rate = rates[$('rate').value];
  const said = rate === undefined ? 'every change' : rate < 1 ? `the newest, once in ${Math.round(1 / rate)} s` : rate === 1 ? 'the newest, once a second' : `the newest, ${rate} times a second`;
  $('rate-now').value = said;
  $('rate').setAttribute('aria-valuetext', said);
}
$('rate').oninput = sayRate;
$('rate').onchange = changeRate;
sayRate();
sheet.markets.forEach(({id}) => follow(id));
