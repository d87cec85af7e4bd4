// What a declared API lets through the compiler, and what not: `npm run check` compiles it.
import {Ringdown, type Member} from '@ringdown/client'

interface Order { id: number; total: number }

interface Shop {
  channels: {
    orders: {events: {'order-created': Order; 'order-shipped': {id: number}}}
    'chat:{room}': {events: {message: {text: string}; typing: {active: boolean}}; presence: {mood: string}}
    'trucks:{region}': {events: {position: [number, number]}; state: [number, number]}
    'user:{user}:inbox': {events: {note: string}}
  }
  calls: {price: {data: {sku: string}; result: {price: number}}}
}

const shop = new Ringdown<Shop>('https://shop.example', {token: async (reason) => `token for ${reason}`})

shop.channel('orders').on('order-created', (order) => order.total.toFixed(2))
shop.channel('chat:42').on('message', ({text}, message) => [text.trim(), message.offset])
shop.channel('chat:42').presence.on((members: ReadonlyMap<string, Member<{mood: string}>>) => members.size)
shop.channel('user:ann:inbox').publish('note', 'hello')
const place: [number, number] | undefined = shop.channel('trucks:eu').state.get('truck-17')
const price: Promise<{price: number}> = shop.call('price', {sku: 'x'})
void [place, price]

// @ts-expect-error there is no such channel
shop.channel('order')
// @ts-expect-error nor one of that pattern
shop.channel('user:ann:outbox')
// @ts-expect-error there is no such event
shop.channel('orders').on('order-cancelled', () => {})
// @ts-expect-error an order has no name
shop.channel('orders').on('order-created', (order) => order.name)
// @ts-expect-error a message has a text
shop.channel('chat:42').publish('message', {txt: 'hello'})
// @ts-expect-error a place has two numbers
shop.channel('trucks:eu').publish('position', [1])
// @ts-expect-error a mood is a text
shop.channel('chat:42').presence.enter({mood: 5})
// @ts-expect-error there is no such call
shop.call('prize', {sku: 'x'})
// @ts-expect-error it asks for a sku
shop.call('price', {id: 5})
// @ts-expect-error and answers with a number
const wrong: Promise<{price: string}> = shop.call('price', {sku: 'x'})
void wrong

// Without a declared API every name is good, and data is anything.
const any = new Ringdown('https://shop.example')
any.channel('whatever').on('something', (data) => data.of.any.kind)
any.channel('whatever').state.get('key')?.x
void any.call('anything', 1).then((result) => result.field)
