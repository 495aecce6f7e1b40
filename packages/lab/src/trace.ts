import type { GuestSystem } from "@hyperwalk/xen";

/**
 * Writes a line of JSON for each VM exit of a system, and one for each hypercall:
 * `{"cycle", "rip", "exit", "info1", "info2"}` with the exit's two information fields, and
 * `{"cycle", "rip", "hypercall", "number", "arguments", "result"}`. Cycles are those of the exit. Lines of a fast-forward
 * have `"functional": true` as well: their cycles are no timed ones. Where there are several vCPUs, `"vcpu"` says whose line it
 * is; the lines of each are in the order of its time, those of two only nearly.
 */
export function traceLines(system: GuestSystem, write: (line: string) => void): void {
  let cycle = 0;
  let rip = "";
  let vcpu = 0;
  const isOneOfSeveral = system.vcpus.length > 1;
  const put = (line: object) => {
    const whose = isOneOfSeveral ? { vcpu, ...line } : line;
    const marked = system.processor.timed ? whose : { ...whose, functional: true };
    write(`${JSON.stringify(marked)}\n`);
  };
  system.on("vm-exit", (event) => {
    const { exit } = event;
    cycle = event.cycle;
    rip = event.rip;
    vcpu = event.vcpu;
    put({
      cycle,
      rip,
      exit: event.name,
      info1: wide(exit.info1Lo, exit.info1Hi),
      info2: wide(exit.info2Lo, exit.info2Hi),
    });
  });
  system.on("hypercall", ({ number, operation, arguments: args, result }) =>
    put({ cycle, rip, hypercall: operation ?? null, number, arguments: args, result }),
  );
}

function wide(lo: number, hi: number): string {
  return `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`;
}
