// flow.js: how many messages arrive, and how many changes there were. Each change of a
// channel has the next offset, so the distance from one message to the one before says
// how many the server has left out.

const seconds = 60, mean = 10; // at the slowest pace they come once in ten seconds

export function flow(client) {
  const $ = (id) => document.getElementById(id);
  const last = new Map(); // market → offset
  const past = []; // of each second: [messages, changes]
  let now = [0, 0];

  setInterval(() => {
    past.push(now);
    now = [0, 0];
    if (past.length > seconds) past.shift();
    const recent = past.slice(-mean);
    const average = (i) => recent.reduce((sum, second) => sum + second[i], 0) / recent.length;
    const say = (n) => n > 0 && n < 9.5 ? n.toFixed(1) : Math.round(n);
    $('arrive').textContent = say(average(0));
    $('happen').textContent = say(average(1));
    draw($('flow').firstElementChild);
  }, 1000);

  function draw(path) {
    const most = Math.max(50, ...past.map(([messages]) => messages));
    path.setAttribute('d', past.map(([messages], i) => {
      const high = Math.max(messages / most * 20, .4);
      return `M${seconds - past.length + i} 20v${-high}h.8v${high}z`;
    }).join(''));
  }

  client.on('state', ({state}) => {
    if (state === 'live' || state === 'probing') return;
    past.length = 0; // nothing comes, and the mean of before says otherwise
    last.clear(); // what is missed meanwhile is not left out
  });

  return {
    message(market, offset) {
      now[0]++;
      now[1] += Math.max(1, offset - (last.get(market) ?? offset - 1));
      last.set(market, offset);
    },
  };
}
