import {
  Ringdown, RingdownError, type Ack, type AnyApi, type Api, type ChannelName, type ChannelOf, type Event, type EventName,
  type Lifecycle, type Member, type MemberOf, type PublishOptions, type StateEvent, type StateOf,
} from '@ringdown/client'
import {createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode} from 'react'
import {following, type Store} from './store.js'

const Context = createContext<Ringdown<any> | undefined>(undefined)

/** Gives the hooks below it the client. Whoever made the client closes it. */
export function RingdownProvider({client, children}: {client: Ringdown<any>; children?: ReactNode}) {
  return createElement(Context.Provider, {value: client}, children)
}

function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.snapshot, store.snapshot)
}

export interface Connection {
  state: StateEvent['state']
  reason?: StateEvent['reason']
  /** In `waiting`: milliseconds to the next attempt, as of when it began to wait. */
  retryIn?: number
  error?: RingdownError
}

export interface ChannelOptions {
  /** Begin with so many of the last messages. */
  last?: number
  /** At most so many deliveries a second. */
  rate?: number
  /** How many messages are kept for `messages`. Default 100. */
  keep?: number
}

export interface Followed<T> {
  /** The newest messages, oldest first. */
  messages: readonly Event<T>[]
  /** Whether delivery has begun. */
  subscribed: boolean
  /** The last time that messages were missing for good. */
  gap?: Lifecycle['gap']
  /** Why the channel may not be followed. */
  error?: RingdownError
}

export interface Called<D, R> {
  call(data: D): Promise<R>
  pending: boolean
  /** What the last call answered. */
  data?: R
  error?: RingdownError
}

/** The hooks, typed by a declared API: `export const {useChannel, …} = hooks<Api>()`. */
export function hooks<A extends Api = AnyApi>() {
  type C<N extends ChannelName<A>> = ChannelOf<A, N>

  /** The client of the provider above. */
  function useRingdown(): Ringdown<A> {
    const client = useContext(Context)
    if (!client) throw new Error('there is no RingdownProvider above this component')
    return client
  }

  /** Where the connection is. */
  function useConnection(): Connection {
    const client = useRingdown()
    return useStore(useMemo(() => following<Connection>({state: client.state}, (set) => {
      set((was) => (was.state === client.state ? was : {state: client.state}))
      return client.on('state', ({state, reason, retryIn, error}) => set(() => ({state, reason, retryIn, error})))
    }), [client]))
  }

  /** Follows a channel while the component is there, with its newest messages and a function to publish. */
  function useChannel<N extends ChannelName<A>>(name: N, {last, rate, keep = 100}: ChannelOptions = {}) {
    type Data = C<N>['events'][EventName<C<N>>]
    const client = useRingdown()
    const store = useMemo(() => following<Followed<Data>>({messages: [], subscribed: false}, (set) => {
      const channel = client.channel(name, last || rate ? {last, rate} : undefined)
      const offs = [
        channel.when('subscribed', () => set((was) => ({...was, subscribed: true, error: undefined}))),
        channel.when('gap', (gap) => set((was) => ({...was, gap}))),
        channel.when('failed', ({error}) => set((was) => ({...was, subscribed: false, error}))),
        channel.on('*', (_, m) => set((was) => ({...was, messages: [...was.messages, m as Event<Data>].slice(-keep)}))),
      ]
      return () => offs.forEach((off) => off())
    }), [client, name, last, rate, keep])
    const publish = useCallback(
      <E extends EventName<C<N>>>(event: E, data?: C<N>['events'][E], options?: PublishOptions): Promise<Ack> => client.channel(name).publish(event, data, options),
      [client, name],
    )
    return {...useStore(store), publish}
  }

  /** Calls fn with each event of that name while the component is there; the fn of the last rendering. */
  function useEvent<N extends ChannelName<A>, E extends EventName<C<N>>>(name: N, event: E, fn: (data: C<N>['events'][E], message: Event<C<N>['events'][E]>) => unknown): void {
    const client = useRingdown()
    const latest = useRef(fn)
    useEffect(() => { latest.current = fn })
    useEffect(() => client.channel(name).on(event, (data, message) => latest.current(data, message)), [client, name, event])
  }

  /** Who is there. With `enter` this client is a member while the component is there, and says that. */
  function usePresence<N extends ChannelName<A>>(name: N, {enter}: {enter?: MemberOf<C<N>>} = {}): readonly Member<MemberOf<C<N>>>[] {
    const client = useRingdown()
    const members = useStore(useMemo(() => following<readonly Member<MemberOf<C<N>>>[]>([], (set) =>
      client.channel(name).presence.on((table) => set(() => [...table.values()] as Member<MemberOf<C<N>>>[]))), [client, name]))
    const said = enter === undefined ? undefined : JSON.stringify(enter)
    useEffect(() => {
      if (said === undefined) return
      const {presence} = client.channel(name)
      presence.enter(JSON.parse(said)).catch(() => {}) // refused: then it is no member, which the list shows
      return () => void presence.leave().catch(() => {})
    }, [client, name, said])
    return members
  }

  /** What a state channel keeps: another map after each change, undefined until it is there. */
  function useSharedState<N extends ChannelName<A>>(name: N): ReadonlyMap<string, StateOf<C<N>>> | undefined {
    const client = useRingdown()
    return useStore(useMemo(() => following<ReadonlyMap<string, StateOf<C<N>>> | undefined>(undefined, (set) => {
      const {state} = client.channel(name)
      const take = () => set((was) => (state.ready ? new Map(state) as ReadonlyMap<string, StateOf<C<N>>> : was))
      const off = state.on(take)
      take()
      return off
    }), [client, name]))
  }

  /** Who types, and functions to say that one does. */
  function useTyping<N extends ChannelName<A>>(name: N) {
    const client = useRingdown()
    const users = useStore(useMemo(() => following<readonly string[]>([], (set) =>
      client.channel(name).typing.on((now) => set(() => [...now]))), [client, name]))
    return useMemo(() => ({users, active: () => client.channel(name).typing.active(), stop: () => client.channel(name).typing.stop()}), [client, name, users])
  }

  /** A call of the application. Of several under way, the last decides what is shown. */
  function useCall<E extends keyof A['calls'] & string>(event: E): Called<A['calls'][E]['data'], A['calls'][E]['result']> {
    const client = useRingdown()
    const [shown, show] = useState<{pending: boolean; data?: A['calls'][E]['result']; error?: RingdownError}>({pending: false})
    const turn = useRef(0)
    const call = useCallback(async (data: A['calls'][E]['data']) => {
      const mine = ++turn.current
      show((was) => ({...was, pending: true}))
      try {
        const result = await client.call(event, data)
        if (mine === turn.current) show({pending: false, data: result})
        return result
      } catch (error) {
        if (mine === turn.current) show({pending: false, error: error as RingdownError})
        throw error
      }
    }, [client, event])
    return {...shown, call}
  }

  return {useRingdown, useConnection, useChannel, useEvent, usePresence, useSharedState, useTyping, useCall}
}

export const {useRingdown, useConnection, useChannel, useEvent, usePresence, useSharedState, useTyping, useCall} = hooks()
