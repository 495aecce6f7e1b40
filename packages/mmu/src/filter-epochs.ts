import { AccessRights } from "./access-modes.js";
import { TranslationContext } from "./translation-context.js";

const LIMIT = 2 ** 30;

/**
 * Filter rows belong to an epoch. A context has one per privilege level, and new ones when anything that decides its
 * first-level hits has changed: tags, permission inputs, PKRU, PKRS. Rows of old epochs simply never match again. What an
 * epoch permits is worked out when it begins.
 */
export class FilterEpochs {
  private readonly contexts: TranslationContext[] = [];
  private readonly clearFilters: () => void;
  private next = 1;

  /** @param clearFilters run when epoch numbers start over */
  constructor(clearFilters: () => void) {
    this.clearFilters = clearFilters;
  }

  createContext(): TranslationContext {
    const context = new TranslationContext();
    context.rights = [new AccessRights(), new AccessRights(), new AccessRights()];
    this.contexts.push(context);
    return context;
  }

  /** Index of a context's privilege level in its epochs and rights. */
  level(c: TranslationContext): number {
    return c.user ? 1 : c.smap && c.ac ? 2 : 0;
  }

  /** Epoch of a context as it is now. @param level its {@link level} @param space, tag what its TLB entries carry */
  of(c: TranslationContext, level: number, space: number, tag: number): number {
    const inputs =
      (c.wp ? 1 : 0) |
      (c.smep ? 2 : 0) |
      (c.smap ? 4 : 0) |
      (c.pke ? 8 : 0) |
      (c.paging << 4) |
      (c.pks ? 0x300 : 0x100);
    const pkru = c.pkru | 0;
    const pkrs = c.pkrs | 0;
    if (
      c.epochInputs !== inputs ||
      c.epochSpace !== space ||
      c.epochTag !== tag ||
      c.epochPkru !== pkru ||
      c.epochPkrs !== pkrs
    ) {
      c.epochInputs = inputs;
      c.epochSpace = space;
      c.epochTag = tag;
      c.epochPkru = pkru;
      c.epochPkrs = pkrs;
      c.epochs.fill(0);
    }
    const epoch = c.epochs[level];
    return epoch !== 0 ? epoch : this.begin(c, level);
  }

  private begin(c: TranslationContext, level: number): number {
    if (this.next >= LIMIT) this.restart();
    c.rights[level].configure(c);
    c.epochs[level] = this.next++;
    return c.epochs[level];
  }

  private restart(): void {
    this.next = 1;
    for (const context of this.contexts) context.epochs.fill(0);
    this.clearFilters();
  }
}
