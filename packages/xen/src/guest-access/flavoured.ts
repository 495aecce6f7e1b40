import type { PathCost } from "../path-cost/path-cost.js";
import { FLAVOUR_TEST } from "../path-cost/stages/flavour.js";
import type { GuestAccess } from "./guest-access.js";

/** Guest memory in a domain whose calls choose what their pointers are: each copy first asks which. */
export class FlavouredAccess implements GuestAccess {
  readonly id: GuestAccess["id"];
  readonly buffer: DataView;
  private readonly access: GuestAccess;
  private readonly cost: PathCost;
  private readonly stage: number;

  constructor(access: GuestAccess, cost: PathCost) {
    this.id = access.id;
    this.buffer = access.buffer;
    this.access = access;
    this.cost = cost;
    this.stage = cost.compile(FLAVOUR_TEST);
  }

  copyFromGuest(lo: number, hi: number, bytes: number): number {
    this.cost.run(this.stage);
    return this.access.copyFromGuest(lo, hi, bytes);
  }

  copyToGuest(lo: number, hi: number, bytes: number): number {
    this.cost.run(this.stage);
    return this.access.copyToGuest(lo, hi, bytes);
  }
}
