// A rival: a broadcast server on the ws package, written as its README shows.
// One thread, as every ws server is whose rooms are not spread over processes.
// Compression is off, which is the package's default.
//
// usage: node --expose-gc server.js [ADDRESS:PORT]

import { createServer } from 'node:http';
import v8 from 'node:v8';
import { WebSocketServer, WebSocket } from 'ws';

const [address, port] = (process.argv[2] ?? '127.0.0.1:0').split(':');
const rooms = new Map();

const http = createServer((request, response) => {
  // Settle: collect garbage before this process is weighed.
  globalThis.gc?.();
  globalThis.gc?.();
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ heap_bytes: v8.getHeapStatistics().used_heap_size }));
});

const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false });

server.on('connection', (socket) => {
  let room;
  socket.on('error', () => {}); // a reset is followed by close
  socket.on('close', () => room?.delete(socket));
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'subscribe') {
      room = roomNamed(message.channel);
      room.add(socket);
      socket.send(JSON.stringify({ type: 'subscribed', channel: message.channel }));
      return;
    }
    const members = rooms.get(message.channel);
    if (!members) return;
    for (const member of members) {
      if (member.readyState === WebSocket.OPEN) member.send(data, { binary: false });
    }
  });
});

function roomNamed(name) {
  let room = rooms.get(name);
  if (!room) rooms.set(name, (room = new Set()));
  return room;
}

http.listen({ host: address, port: Number(port), backlog: 4096 }, () => {
  console.log(`listening ${http.address().address}:${http.address().port}`);
});

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
