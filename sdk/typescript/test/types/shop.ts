// Made by ringdown types --lang ts from shop.yaml. Change that, and make it again.

/** The declared API, for new Ringdown<Api>(…). */
export interface Api {
  channels: {
    /** Every order, as it happens */
    orders: {
      events: {
        /** Somebody ordered */
        'order-created': {
          /** Its number */
          id: number
          status: "new" | "paid"
          lines: Array<{
            sku: string
            count?: number
          }>
          note?: string | null
          from?: string
        }
        'order-gone': any
      }
    }
    'chat:{room}': {
      events: {
        message: {
          text: string
        }
        typing: {
          active: boolean
        }
      }
      presence: any
    }
    'trucks:{region}': {
      events: {
        position: [number, number]
      }
      state: [number, number]
    }
    'user:{user}:inbox': {
      events: {[event: string]: any}
    }
  }
  calls: {
    'ping-backend': {
      data: any
      result: any
    }
    /** What something costs */
    price: {
      data: {
        sku: string
      }
      result: {
        price: number
        'odd-name'?: boolean
      }
    }
  }
}
