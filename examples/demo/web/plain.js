async function start() {
  const asked = new URLSearchParams(location.search).get('token');
  const token = asked ?? (await (await fetch('/demo/token?user=ann')).json()).token;
  const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v1/ws/chat?token=${token}`);

  socket.onopen = () => socket.send(JSON.stringify({type: 'subscribe', channel: 'orders'}));
  socket.onclose = (event) => log('closed', `${event.code} ${event.reason}`);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    switch (message.type) {
      case 'order-created': return log(message.type, `order ${message.data.id} by ${message.data.customer}`);
      case 'order-updated': return log(message.type, `order ${message.data.id} is ${message.data.status}`);
      case 'order-shipped': return log(message.type, `order ${message.data.id} is on its way`);
      case 'error': return log(message.type, message.data.message);
      default: log(message.type, event.data);
    }
  };
}

function log(type, text) {
  const row = document.createElement('li');
  row.append(Object.assign(document.createElement('b'), {textContent: type}), ' ', text);
  row.dataset.type = type;
  document.getElementById('log').append(row);
}

start();
fetch('/demo/plain.js').then((answer) => answer.text()).then((source) => document.getElementById('source').textContent = source);
