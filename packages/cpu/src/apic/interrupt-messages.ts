/** An interrupt message under way: it arrives when its target's clock reaches `at`. */
export interface InterruptMessage {
  /** Ledger clock of the sender when it left, in ticks. */
  readonly at: number;
  /** Number of the target. */
  readonly target: number;
  /** Delivery mode, or what else the sender and the target have agreed on. */
  readonly mode: number;
  readonly vector: number;
  readonly level: boolean;
}

/** Interrupt messages between processors whose clocks differ: each arrives at the sender's time, or late, never early. */
export class InterruptMessages {
  private readonly messages: InterruptMessage[] = [];

  post(message: InterruptMessage): void {
    this.messages.push(message);
  }

  /** Ledger clock of a target's first message; infinity when there is none. */
  first(target: number): number {
    let time = Number.POSITIVE_INFINITY;
    for (const message of this.messages)
      if (message.target === target && message.at < time) time = message.at;
    return time;
  }

  /** Hands over what has arrived, in the order in which it was sent. @param now the target's clock */
  receive(target: number, now: number, accept: (message: InterruptMessage) => void): void {
    const { messages } = this;
    for (let i = 0; i < messages.length; ) {
      const message = messages[i];
      if (message.target !== target || message.at > now) i++;
      else {
        messages.splice(i, 1);
        accept(message);
      }
    }
  }

  snapshot(): readonly InterruptMessage[] {
    return this.messages.map((message) => ({ ...message }));
  }

  restore(snapshot: readonly InterruptMessage[]): void {
    this.messages.splice(0, this.messages.length, ...snapshot);
  }
}
