import type { AbiStruct, AbiStructField } from "@hyperwalk/xen/abi-loader";

/** A member of a C struct or union, with the members inside it when its path has more parts. */
interface Member {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
  readonly field: AbiStructField | undefined;
  readonly members: readonly Member[];
}

/** A struct definition with explicit padding, and assertions that the compiler agrees with the layout. */
export function cStruct(struct: AbiStruct): string[] {
  const out = [
    `struct ${struct.name} {`,
    ...body(membersOf(struct.fields, 0), 0, struct.bytes, "    "),
    "};",
  ];
  const check = (expression: string, value: number) =>
    `_Static_assert(${expression} == ${value}, "layout of ${struct.name}");`;
  out.push(check(`sizeof(struct ${struct.name})`, struct.bytes));
  for (const f of struct.fields) out.push(check(`offsetof(struct ${struct.name}, ${f.path})`, f.offset));
  return out;
}

function membersOf(fields: readonly AbiStructField[], part: number): Member[] {
  const names = [...new Set(fields.map((f) => f.path.split(".")[part]))];
  return names.map((name) => {
    const inside = fields.filter((f) => f.path.split(".")[part] === name);
    const leaf = inside.find((f) => f.path.split(".").length === part + 1);
    const members = leaf === undefined ? membersOf(inside, part + 1) : [];
    const offset = Math.min(...inside.map((f) => f.offset));
    const end = Math.max(...inside.map((f) => f.offset + f.type.bytes * Math.max(1, f.elements)));
    return { name, offset, bytes: end - offset, field: leaf, members };
  });
}

function body(members: readonly Member[], start: number, end: number, indent: string): string[] {
  const out: string[] = [];
  let at = start;
  let pads = 0;
  const pad = (to: number) => {
    if (to > at) out.push(`${indent}uint8_t _pad${pads++}[${to - at}];`);
  };
  for (const member of [...members].sort((a, b) => a.offset - b.offset)) {
    pad(member.offset);
    out.push(...declare(member, indent));
    at = member.offset + member.bytes;
  }
  pad(end);
  return out;
}

function declare(member: Member, indent: string): string[] {
  const { field, members, name } = member;
  if (field !== undefined) {
    const type = field.type.pointer ? `${field.of?.c ?? "void"} *` : `${field.type.c} `;
    return [`${indent}${type}${name}${field.elements > 0 ? `[${field.elements}]` : ""};`];
  }
  // Members that share an offset are alternatives.
  const union = members.every((m) => m.offset === member.offset);
  const inner = union
    ? members.flatMap((m) => declare(m, `${indent}    `))
    : body(members, member.offset, member.offset + member.bytes, `${indent}    `);
  return [`${indent}${union ? "union" : "struct"} {`, ...inner, `${indent}} ${name};`];
}
