import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";

/** What one kind of hypercall or exit cost altogether. */
export interface ExitAccount {
  readonly name: string;
  readonly count: number;
  /** From the moment the guest left off to the moment it went on, processor's own work included. */
  readonly cycles: number;
}

interface Account {
  count: number;
  ticks: number;
}

/** Counts a guest's exits, and its hypercalls by name, with the cycles from each exit to the next entry. */
export class ExitAccounting {
  private readonly exits = new Map<number, Account>();
  private readonly hypercalls = new Map<string, Account>();
  private exit: Account | undefined;
  private hypercall: Account | undefined;
  private leftAt = 0;

  /** The guest left. @param enteredAt when it last went on @param leftAt when it left off, ledger clock in ticks */
  begin(code: number, enteredAt: number, leftAt: number): void {
    this.settle(enteredAt);
    this.leftAt = leftAt;
    this.exit = open(this.exits, code);
  }

  /** The running exit is a hypercall of this name. */
  name(hypercall: string): void {
    this.hypercall = open(this.hypercalls, hypercall);
  }

  /** Closes the running exit at this clock: the guest went on, or never will. */
  settle(at: number): void {
    const { exit, hypercall } = this;
    const ticks = at - this.leftAt;
    if (exit !== undefined) exit.ticks += ticks;
    if (hypercall !== undefined) hypercall.ticks += ticks;
    this.exit = undefined;
    this.hypercall = undefined;
  }

  /** Exits by reason, most cycles first. @param nameOf name of an exit code */
  exitAccounts(nameOf: (code: number) => string): readonly ExitAccount[] {
    return accounts([...this.exits].map(([code, account]) => [nameOf(code), account]));
  }

  /** Hypercalls by name, most cycles first. */
  hypercallAccounts(): readonly ExitAccount[] {
    return accounts([...this.hypercalls]);
  }
}

function open<K>(accounts: Map<K, Account>, key: K): Account {
  let account = accounts.get(key);
  if (account === undefined) {
    account = { count: 0, ticks: 0 };
    accounts.set(key, account);
  }
  account.count++;
  return account;
}

function accounts(entries: readonly (readonly [string, Account])[]): readonly ExitAccount[] {
  return entries
    .map(([name, { count, ticks }]) => ({ name, count, cycles: ticks / TICKS_PER_CYCLE }))
    .sort((a, b) => b.cycles - a.cycles || (a.name < b.name ? -1 : 1));
}
