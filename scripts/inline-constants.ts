import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The part of esbuild's plugin interface that is used here. */
interface PluginBuild {
  onLoad(
    options: { filter: RegExp },
    load: (file: { path: string }) => { contents: string; loader: "ts" } | undefined,
  ): void;
}

/** A constant: a number, or a table of numbers. */
type Constant = number | ReadonlyMap<string, number>;
type Scope = ReadonlyMap<string, Constant>;

const PACKAGES = fileURLToPath(new URL("../packages/", import.meta.url));

/**
 * esbuild plugin: in the packages' sources, names of numeric constants and fields of constant tables
 * (`export const State = {…} as const`) become numbers, across files and packages. Bundling turns `const` into `var`,
 * and V8 loads a variable, tests it and loads its field each time where it would have folded a number.
 */
export function inlineConstants(): { name: string; setup(build: PluginBuild): void } {
  const modules = new ConstantModules();
  return {
    name: "inline-constants",
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, ({ path }) =>
        path.startsWith(PACKAGES) && !path.includes("node_modules")
          ? { contents: modules.inlined(path), loader: "ts" }
          : undefined,
      );
    },
  };
}

/** Source files whose constants are known to each other. */
export class ConstantModules {
  private readonly sources = new Map<string, ts.SourceFile>();
  private readonly exported = new Map<string, Scope>();

  inlined(path: string): string {
    const source = this.source(path);
    const scope = new Map(this.topLevel(source));
    for (const name of innerNames(source)) scope.delete(name);
    let text = "";
    let end = 0;
    for (const [node, value] of uses(source, scope)) {
      text +=
        source.text.slice(end, node.getStart(source)) +
        (value < 0 || ts.isPropertyAccessExpression(node.parent) ? `(${value})` : String(value));
      end = node.end;
    }
    return text + source.text.slice(end);
  }

  /** Constants that a module declares or imports at its top level. */
  private topLevel(source: ts.SourceFile): Map<string, Constant> {
    const scope = new Map<string, Constant>();
    for (const statement of source.statements) {
      if (ts.isImportDeclaration(statement)) this.addImports(source, statement, scope);
      if (!ts.isVariableStatement(statement) || (statement.declarationList.flags & ts.NodeFlags.Const) === 0)
        continue;
      for (const { name, initializer } of statement.declarationList.declarations) {
        const value = initializer && ts.isIdentifier(name) ? constantOf(initializer, scope) : undefined;
        if (value !== undefined) scope.set((name as ts.Identifier).text, value);
      }
    }
    return scope;
  }

  private addImports(
    source: ts.SourceFile,
    statement: ts.ImportDeclaration,
    scope: Map<string, Constant>,
  ): void {
    const bindings = statement.importClause?.namedBindings;
    if (bindings === undefined || !ts.isNamedImports(bindings)) return;
    const from = this.exportsOf(moduleFile(source.fileName, statement.moduleSpecifier));
    for (const { name, propertyName, isTypeOnly } of bindings.elements) {
      const value = from.get((propertyName ?? name).text);
      if (value !== undefined && !isTypeOnly) scope.set(name.text, value);
    }
  }

  private exportsOf(path: string | undefined): Scope {
    if (path === undefined) return new Map();
    const known = this.exported.get(path);
    if (known) return known;
    const found = new Map<string, Constant>();
    this.exported.set(path, found); // modules that import each other see what is there so far
    const source = this.source(path);
    const own = this.topLevel(source);
    for (const statement of source.statements) {
      if (
        ts.isVariableStatement(statement) &&
        statement.modifiers?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword)
      )
        for (const { name } of statement.declarationList.declarations) copy(own, name.getText(source), found);
      if (!ts.isExportDeclaration(statement) || statement.isTypeOnly) continue;
      const from = statement.moduleSpecifier
        ? this.exportsOf(moduleFile(path, statement.moduleSpecifier))
        : own;
      if (statement.exportClause === undefined) for (const name of from.keys()) copy(from, name, found);
      else if (ts.isNamedExports(statement.exportClause))
        for (const { name, propertyName } of statement.exportClause.elements)
          copy(from, (propertyName ?? name).text, found, name.text);
    }
    return found;
  }

  private source(path: string): ts.SourceFile {
    let source = this.sources.get(path);
    if (source === undefined) {
      source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.ES2022, true);
      this.sources.set(path, source);
    }
    return source;
  }
}

function copy(from: Scope, name: string, to: Map<string, Constant>, as = name): void {
  const value = from.get(name);
  if (value !== undefined) to.set(as, value);
}

/** Source file behind a specifier: a relative path, or a sibling package. */
function moduleFile(importer: string, specifier: ts.Expression): string | undefined {
  const name = (specifier as ts.StringLiteral).text;
  const sibling = /^@hyperwalk\/([a-z-]+)$/.exec(name)?.[1];
  const path = sibling
    ? join(PACKAGES, sibling, "src/index.ts")
    : resolve(dirname(importer), name.replace(/\.js$/, ".ts"));
  return (sibling || name.startsWith(".")) && existsSync(path) ? path : undefined;
}

/** Value of an initializer: a number, or a table `{…} as const`. */
function constantOf(node: ts.Expression, scope: Scope): Constant | undefined {
  if (!ts.isAsExpression(node)) return numberOf(node, scope);
  if (node.type.getText() !== "const" || !ts.isObjectLiteralExpression(node.expression)) return undefined;
  const table = new Map<string, number>();
  for (const property of node.expression.properties) {
    if (ts.isSpreadAssignment(property)) return undefined; // may replace what stands before it
    if (!ts.isPropertyAssignment(property) || !ts.isIdentifier(property.name)) continue;
    const value = numberOf(property.initializer, scope);
    if (value !== undefined) table.set(property.name.text, value);
  }
  return table;
}

const BINARY: Partial<Record<ts.SyntaxKind, (x: number, y: number) => number>> = {
  [ts.SyntaxKind.PlusToken]: (x, y) => x + y,
  [ts.SyntaxKind.MinusToken]: (x, y) => x - y,
  [ts.SyntaxKind.AsteriskToken]: (x, y) => x * y,
  [ts.SyntaxKind.SlashToken]: (x, y) => x / y,
  [ts.SyntaxKind.AsteriskAsteriskToken]: (x, y) => x ** y,
  [ts.SyntaxKind.LessThanLessThanToken]: (x, y) => x << y,
  [ts.SyntaxKind.GreaterThanGreaterThanToken]: (x, y) => x >> y,
  [ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken]: (x, y) => x >>> y,
  [ts.SyntaxKind.AmpersandToken]: (x, y) => x & y,
  [ts.SyntaxKind.BarToken]: (x, y) => x | y,
  [ts.SyntaxKind.CaretToken]: (x, y) => x ^ y,
};

function numberOf(node: ts.Expression, scope: Scope): number | undefined {
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (ts.isParenthesizedExpression(node)) return numberOf(node.expression, scope);
  if (ts.isIdentifier(node) || ts.isPropertyAccessExpression(node)) return named(node, scope);
  if (ts.isPrefixUnaryExpression(node)) {
    const x = numberOf(node.operand, scope);
    if (x === undefined) return undefined;
    if (node.operator === ts.SyntaxKind.MinusToken) return -x;
    return node.operator === ts.SyntaxKind.TildeToken ? ~x : undefined;
  }
  if (!ts.isBinaryExpression(node)) return undefined;
  const x = numberOf(node.left, scope);
  const y = numberOf(node.right, scope);
  return x === undefined || y === undefined ? undefined : BINARY[node.operatorToken.kind]?.(x, y);
}

/** The number that an expression names, if it names one. */
function named(node: ts.Node, scope: Scope): number | undefined {
  if (ts.isIdentifier(node)) {
    const value = scope.get(node.text);
    return typeof value === "number" ? value : undefined;
  }
  if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
  const table = scope.get(node.expression.text);
  return table instanceof Map ? table.get(node.name.text) : undefined;
}

/** Names that are bound anywhere below the top level: a use of such a name may mean another thing. */
function innerNames(source: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    const binds = ts.isVariableDeclaration(node) || ts.isParameter(node) || ts.isBindingElement(node);
    if (binds && ts.isIdentifier(node.name) && node.parent.parent.parent !== source)
      names.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/** Expressions that name a constant, in order. */
function uses(source: ts.SourceFile, scope: Scope): (readonly [ts.Node, number])[] {
  const found: (readonly [ts.Node, number])[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    const value = isUse(node) ? named(node, scope) : undefined;
    if (value !== undefined && Number.isFinite(value)) found.push([node, value]);
    else ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Not a declared name, a property's name or a label. */
function isUse(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return true;
  if (!ts.isIdentifier(node)) return false;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isShorthandPropertyAssignment(parent) || ts.isExportAssignment(parent)) return false;
  return (
    (parent as { name?: ts.Node }).name !== node && !ts.isLabeledStatement(parent) && !ts.isTypeNode(parent)
  );
}
