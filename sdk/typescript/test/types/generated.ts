// What the types that `ringdown types` makes let through the compiler, and what not.
import {Ringdown} from '@ringdown/client'
import type {Api} from './shop.js'

const shop = new Ringdown<Api>('https://shop.example')

shop.channel('orders').on('order-created', (order) => [order.id.toFixed(), order.status === 'paid', order.lines[0]?.sku])
shop.channel('chat:42').publish('message', {text: 'hello'})
const place: [number, number] | undefined = shop.channel('trucks:eu').state.get('t1')
const price: Promise<{price: number}> = shop.call('price', {sku: 'x'})
void [place, price]

// @ts-expect-error there is no such channel
shop.channel('chats:42')
// @ts-expect-error there is no such event
shop.channel('chat:42').on('note', () => {})
// @ts-expect-error a message has a text
shop.channel('chat:42').publish('message', {txt: 'hello'})
// @ts-expect-error an order is new or paid
shop.channel('orders').publish('order-created', {id: 1, status: 'gone', lines: []})
// @ts-expect-error the price is asked for by a sku
shop.call('price', {id: 1})
