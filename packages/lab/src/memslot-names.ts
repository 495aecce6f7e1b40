/** Updates of KVM's memory slots that `hyperwalk memslots` knows: those of `@hyperwalk/xen`, which help does not load. */
export const DEFAULT_MEMSLOT_UPDATES = ["move", "replace", "another"] as const;
