/** `await using` needs this symbol, and not every platform has it yet. */
const platform = Symbol as unknown as Record<string, symbol>;
platform["asyncDispose"] ??= Symbol.for("Symbol.asyncDispose");

export {};
