/** What wants to know of changes to a process's mappings (`struct mmu_notifier`). Addresses in bytes, `end` is the first after. */
export interface MmuNotifier {
  /** Before a mapping goes: what was remembered of it is not to be used any more. */
  invalidateRangeStart(start: number, end: number): void;
  /** After it has gone. */
  invalidateRangeEnd(start: number, end: number): void;
}

/** Steps of a change to a mapping, in their order; the table entries change in the second. */
export const MAPPING_STEPS = ["invalidate_range_start", "page tables", "invalidate_range_end"] as const;
export type MappingStep = (typeof MAPPING_STEPS)[number];

/** Consecutive pages of a process on consecutive machine frames. */
export interface UserMapping {
  /** First page number (address / 4096). */
  readonly page: number;
  readonly pages: number;
  readonly frame: number;
}

/** A process's mappings, as plain data. */
export interface UserAddressSpaceSnapshot {
  readonly mappings: readonly UserMapping[];
  readonly sequence: number;
}

/** A change of a mapping that cannot be: an address or a length that is not one. */
export class UserAddressError extends RangeError {
  readonly code = "USER_ADDRESS";
  readonly address: number;

  constructor(address: number, what: string) {
    super(`user address 0x${address.toString(16)}: ${what}`);
    this.name = "UserAddressError";
    this.address = address;
  }
}

const PAGE = 4096;
/** User space ends here (TASK_SIZE_MAX with 4-level paging). */
export const TASK_SIZE: number = 2 ** 47 - PAGE;

/**
 * The memory of a monitor's process: ranges of host-virtual addresses (HVA) and the machine frames behind them. All of it
 * is present and writable; what is not mapped has no page to fault in. Changes tell the {@link MmuNotifier}s first, as
 * the kernel's do, and can be made step by step.
 */
export class UserAddressSpace {
  /** `mmu_invalidate_seq`: counts changes that are over. */
  sequence = 0;
  private mappings: readonly UserMapping[] = [];
  private readonly notifiers: MmuNotifier[] = [];
  private change: Generator<MappingStep, void> | undefined;
  private active = false;

  /** Changes from now on are told to it. */
  subscribe(notifier: MmuNotifier): void {
    this.notifiers.push(notifier);
  }

  /** `mn_active_invalidate_count`: is a change under way? */
  get isChanging(): boolean {
    return this.active;
  }

  /** Maps machine frames, as with MAP_FIXED over what was there. @throws UserAddressError */
  mmap(address: number, bytes: number, frame: number): void {
    drain(this.mmapSteps(address, bytes, frame));
  }

  /** @throws UserAddressError */
  munmap(address: number, bytes: number): void {
    drain(this.munmapSteps(address, bytes));
  }

  /** {@link mmap} step by step; a change that is under way ends first. */
  mmapSteps(address: number, bytes: number, frame: number): Iterator<MappingStep, void> {
    const [page, pages] = checkRange(address, bytes);
    return this.begin(page, pages, [{ page, pages, frame }]);
  }

  munmapSteps(address: number, bytes: number): Iterator<MappingStep, void> {
    return this.begin(...checkRange(address, bytes), []);
  }

  /** Who needs the mappings to be still waits until they are: the change that is under way goes on to its end. */
  settle(): void {
    if (this.change !== undefined) drain(this.change);
  }

  /** Machine frame of the page with this address, -1 where nothing is mapped. */
  frameOf(address: number): number {
    const page = Math.floor(address / PAGE);
    const mapping = this.mappings.find((each) => page >= each.page && page < each.page + each.pages);
    return mapping === undefined ? -1 : mapping.frame + (page - mapping.page);
  }

  /** Is a range wholly mapped, to consecutive frames? A huge page can be behind it then. */
  isContiguous(address: number, bytes: number): boolean {
    const page = Math.floor(address / PAGE);
    const pages = Math.ceil(bytes / PAGE);
    return this.mappings.some((each) => page >= each.page && page + pages <= each.page + each.pages);
  }

  /** `access_ok`: do such addresses lie in user space? Says nothing of what is mapped. */
  accessOk(address: number, bytes: number): boolean {
    return Number.isSafeInteger(address) && address >= 0 && address + bytes <= TASK_SIZE;
  }

  /** @throws RangeError in the middle of a change */
  snapshot(): UserAddressSpaceSnapshot {
    if (this.change !== undefined) throw new RangeError("a mapping is being changed");
    return { mappings: this.mappings, sequence: this.sequence };
  }

  /** Tells nobody. @throws RangeError for mappings that overlap or are no ranges */
  restore({ mappings, sequence }: UserAddressSpaceSnapshot): void {
    let end = 0;
    for (const { page, pages, frame } of mappings) {
      if (![page, pages, frame].every(Number.isSafeInteger) || page < end || pages < 1 || frame < 0)
        throw new RangeError(`user mapping of page ${page}`);
      end = page + pages;
    }
    if (end * PAGE > TASK_SIZE || !Number.isSafeInteger(sequence)) throw new RangeError(`user page ${end}`);
    this.settle();
    this.mappings = mappings.map((each) => ({ ...each }));
    this.sequence = sequence;
  }

  private begin(page: number, pages: number, put: readonly UserMapping[]): Generator<MappingStep, void> {
    this.settle();
    const change = this.steps(page, pages, put);
    this.change = change;
    return change;
  }

  private *steps(page: number, pages: number, put: readonly UserMapping[]): Generator<MappingStep, void> {
    const [start, end] = [page * PAGE, (page + pages) * PAGE];
    this.active = true;
    for (const notifier of this.notifiers) notifier.invalidateRangeStart(start, end);
    yield "invalidate_range_start";
    const kept = this.mappings.flatMap((each) => without(each, page, pages));
    this.mappings = [...kept, ...put].sort((a, b) => a.page - b.page);
    yield "page tables";
    this.sequence++;
    this.active = false;
    this.change = undefined;
    for (const notifier of this.notifiers) notifier.invalidateRangeEnd(start, end);
    yield "invalidate_range_end";
  }
}

/** What is left of a mapping without some pages. */
function without(mapping: UserMapping, page: number, pages: number): UserMapping[] {
  const end = mapping.page + mapping.pages;
  const [from, to] = [Math.max(mapping.page, page), Math.min(end, page + pages)];
  if (from >= to) return [mapping];
  const before = { ...mapping, pages: from - mapping.page };
  const after = { page: to, pages: end - to, frame: mapping.frame + (to - mapping.page) };
  return [before, after].filter((each) => each.pages > 0);
}

function checkRange(address: number, bytes: number): [number, number] {
  if (!Number.isSafeInteger(address) || address < 0 || address % PAGE !== 0)
    throw new UserAddressError(address, "not the address of a page");
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % PAGE !== 0 || address + bytes > TASK_SIZE)
    throw new UserAddressError(
      address,
      `${bytes} bytes: allowed are whole pages up to the end of user space`,
    );
  return [address / PAGE, bytes / PAGE];
}

function drain(steps: Iterator<unknown, void>): void {
  while (steps.next().done !== true);
}
