// apps.js: the apps of the demo, in the order of the gallery. The name is that of the
// app's folder, of its first path and of its page in docs/apps; pages are what its
// header leads to; picture is 4 to 3. Not all of them need to be served here.

import {served} from './served.js';

export const apps = [
  {name: 'shop', title: 'Pet shop', words: 'Fill a basket and order. Stock counts move as others buy.', shows: 'calls · history · state · a private channel',
    picture: '/shop/pictures/bird-swing.svg', pages: [['/shop/', 'Shop'], ['/shop/staff', 'Staff']]},
  {name: 'chat', title: 'Chat', words: 'Rooms, who is here, who is typing, pictures.', shows: 'history · presence · typing',
    picture: '/shop/pictures/rope-phone.svg', pages: [['/chat/', 'Chat']]},
  {name: 'trucks', title: 'Trucks', words: 'Five hundred of them on a map, each heard once a second.', shows: 'state · snapshot · rate',
    picture: '/trucks/picture.svg', pages: [['/trucks/', 'Trucks']]},
  {name: 'document', title: 'Document', words: 'A text that several write at once, offline too.', shows: 'Yjs · bytes · history · snapshots',
    picture: '/document/picture.svg', pages: [['/document/', 'Document']]},
  {name: 'whiteboard', title: 'Whiteboard', words: 'Draw together, and see each stroke as it is drawn.', shows: 'state · ephemeral · presence · a hook',
    picture: '/whiteboard/picture.svg', pages: [['/whiteboard/', 'Whiteboard']]},
  {name: 'prices', title: 'Prices', words: 'Four markets at the pace that you choose, and trades that are made once.', shows: 'state · rate · calls · a private channel',
    picture: '/prices/picture.svg', pages: [['/prices/', 'Prices']]},
  {name: 'inbox', title: 'Inbox', words: 'Notifications, read on one device and so on all of them.', shows: 'history · pages · state · calls',
    picture: '/inbox/picture.svg', pages: [['/inbox/', 'Inbox']]},
  {name: 'sale', title: 'Flash sale', words: 'A hundred pieces and everybody at once: never one too many.', shows: 'state · calls · history',
    picture: '/sale/picture.svg', pages: [['/sale/', 'Sale']]},
  {name: 'devices', title: 'Devices', words: 'Greenhouses that report, obey, and are missed when a plug is pulled.', shows: 'state · commands with a deadline · last will',
    picture: '/devices/picture.svg', pages: [['/devices/', 'Devices']]},
  {name: 'scores', title: 'Scores', words: 'Three leagues, goal by goal, and what you missed. Editors set it right.', shows: 'state · history · rules by role · a call',
    picture: '/scores/picture.svg', pages: [['/scores/', 'Scores'], ['/scores/desk', 'Desk']]},
  {name: 'game', title: 'Bells', words: 'A game on one field. Your own steps are ahead of the server, which has the last word.', shows: 'ephemeral ticks · prediction · OnPublish · state',
    picture: '/game/picture.svg', pages: [['/game/', 'Play']]},
  {name: 'transports', title: 'Transports', words: 'Polls, streams and WebSocket beside each other, as they were measured.', shows: 'what each costs',
    picture: '/transports/picture.svg', pages: [['/transports/', 'Transports']]},
].filter(({name}) => served.includes(name));
