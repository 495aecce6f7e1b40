import type { TimelineStretch } from "@hyperwalk/xen";

/**
 * A timeline as folded stacks: a line for each stack of names, separated by semicolons, with the time that was its own. The
 * weights are ledger ticks, 256 to the cycle: whole numbers whose sum is the timeline's time exactly. With several vCPUs each
 * stack begins with its vCPU. Lines are in alphabetical order.
 */
export function foldedStacks(stretches: readonly TimelineStretch[]): string {
  const weights = new Map<string, number>();
  const isOneOfSeveral = new Set(stretches.map(({ vcpu }) => vcpu)).size > 1;
  for (const { vcpu, spans } of stretches) {
    const root = isOneOfSeveral ? [`vCPU ${vcpu}`] : [];
    const stack: string[] = [];
    for (const { name, depth, causes } of spans) {
      stack.length = depth;
      stack.push(name.replaceAll(/[;\s]+/g, (gap) => (gap.includes(";") ? ", " : " ")));
      let own = 0;
      for (const { ticks } of causes) own += ticks;
      if (own === 0) continue;
      const line = [...root, ...stack].join(";");
      weights.set(line, (weights.get(line) ?? 0) + own);
    }
  }
  const lines = [...weights].sort(([a], [b]) => (a < b ? -1 : 1));
  return lines.map(([stack, weight]) => `${stack} ${weight}\n`).join("");
}
