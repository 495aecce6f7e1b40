import { type Register, r13, r14, r15, rbp, rbx } from "./assembler/register.js";
import { GuestSourceError } from "./guest-source-error.js";

/** Registers that no hypercall stub and no routine of this package overwrites. */
const POOL: readonly Register[] = [rbx, r13, r14, r15, rbp];

/** A 64-bit unsigned value that lives in a register of the guest while its program runs. */
export class Variable {
  /** The register that holds it. */
  readonly register: Register;
  private readonly owner: VariablePool;

  constructor(register: Register, owner: VariablePool) {
    this.register = register;
    this.owner = owner;
  }

  /** Gives the register back; the variable must not be used any more. There are five at a time. */
  release(): void {
    this.owner.give(this);
  }
}

/** Hands out registers at emit time. */
export class VariablePool {
  private readonly free: Register[] = [...POOL].reverse();
  private readonly live = new Set<Variable>();

  take(): Variable {
    const register = this.free.pop();
    if (!register)
      throw new GuestSourceError(
        "REGISTERS_EXHAUSTED",
        `more than ${POOL.length} variables and loops at a time: release some`,
      );
    const variable = new Variable(register, this);
    this.live.add(variable);
    return variable;
  }

  give(variable: Variable): void {
    this.check(variable);
    this.live.delete(variable);
    this.free.push(variable.register);
  }

  /** @throws GuestSourceError for a variable that was released or belongs to another guest */
  check(variable: Variable): void {
    if (!this.live.has(variable))
      throw new GuestSourceError(
        "RELEASED",
        `the variable in ${variable.register.name} was released, or is another guest's`,
      );
  }
}
