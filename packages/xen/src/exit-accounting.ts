import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";

/** What one kind of hypercall or exit cost altogether. */
export interface ExitAccount {
  readonly name: string;
  readonly count: number;
  /** From the moment the guest left off to the moment it went on, processor's own work included. */
  readonly cycles: number;
}

/** One account as plain data: what it is of, how many, and their ledger ticks. */
export type AccountRow<K> = readonly [K, number, number];

/** All accounts as plain data. */
export interface ExitAccountingSnapshot {
  readonly exits: readonly AccountRow<number>[];
  readonly hypercalls: readonly AccountRow<string>[];
  /** Code and name of the exit and the hypercall that are running; -1 and empty: none. */
  readonly exit: number;
  readonly hypercall: string;
  readonly leftAt: number;
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

  snapshot(): ExitAccountingSnapshot {
    const { exits, hypercalls, exit, hypercall, leftAt } = this;
    return {
      exits: rows(exits),
      hypercalls: rows(hypercalls),
      exit: keyOf(exits, exit) ?? -1,
      hypercall: keyOf(hypercalls, hypercall) ?? "",
      leftAt,
    };
  }

  restore(snapshot: ExitAccountingSnapshot): void {
    const { exits, hypercalls } = this;
    exits.clear();
    hypercalls.clear();
    for (const [code, count, ticks] of snapshot.exits) exits.set(code, { count, ticks });
    for (const [name, count, ticks] of snapshot.hypercalls) hypercalls.set(name, { count, ticks });
    this.exit = exits.get(snapshot.exit);
    this.hypercall = hypercalls.get(snapshot.hypercall);
    this.leftAt = snapshot.leftAt;
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

/** Accounts of the same name become one: those of several vCPUs. */
export function together(accounts: readonly ExitAccount[]): readonly ExitAccount[] {
  const sums = new Map<string, ExitAccount>();
  for (const { name, count, cycles } of accounts) {
    const sum = sums.get(name) ?? { name, count: 0, cycles: 0 };
    sums.set(name, { name, count: sum.count + count, cycles: sum.cycles + cycles });
  }
  return inOrder([...sums.values()]);
}

function inOrder(accounts: readonly ExitAccount[]): readonly ExitAccount[] {
  return [...accounts].sort((a, b) => b.cycles - a.cycles || (a.name < b.name ? -1 : 1));
}

function rows<K>(accounts: Map<K, Account>): readonly AccountRow<K>[] {
  return [...accounts].map(([key, { count, ticks }]) => [key, count, ticks]);
}

function keyOf<K>(accounts: Map<K, Account>, sought: Account | undefined): K | undefined {
  for (const [key, account] of accounts) if (account === sought) return key;
  return undefined;
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
  return inOrder(
    entries.map(([name, { count, ticks }]) => ({ name, count, cycles: ticks / TICKS_PER_CYCLE })),
  );
}
