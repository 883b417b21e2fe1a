# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
{ lib }:
rec {
  inherit (builtins)
    all any concatLists concatMap elem elemAt filter foldl' genList groupBy head isList length map
    partition sort tail;

  singleton = x: [ x ];
  toList = x: if isList x then x else [ x ];
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: xs: if cond then xs else [ ];
  foldl = foldl';
  foldr = op: nul: xs:
    let go = i: if i == length xs then nul else op (elemAt xs i) (go (i + 1)); in go 0;
  fold = foldr;
  range = first: last: if first > last then [ ] else genList (i: first + i) (last - first + 1);
  replicate = n: x: genList (_: x) n;
  imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
  imap1 = f: imap0 (i: f (i + 1));
  last = xs: elemAt xs (length xs - 1);
  init = xs: take (length xs - 1) xs;
  take = n: xs: genList (elemAt xs) (lib.min n (length xs));
  drop = n: xs: genList (i: elemAt xs (i + n)) (lib.max 0 (length xs - n));
  sublist = start: count: xs: take count (drop start xs);
  reverseList = xs: genList (i: elemAt xs (length xs - i - 1)) (length xs);
  flatten = x: if isList x then concatMap flatten x else [ x ];
  unique = foldl' (acc: x: if elem x acc then acc else acc ++ [ x ]) [ ];
  allUnique = xs: length (unique xs) == length xs;
  count = pred: xs: length (filter pred xs);
  remove = x: filter (y: y != x);
  subtractLists = remove: filter (x: !elem x remove);
  intersectLists = xs: filter (x: elem x xs);
  mutuallyExclusive = a: b: intersectLists a b == [ ];
  findFirst = pred: default: xs: let hits = filter pred xs; in if hits == [ ] then default else head hits;
  findSingle = pred: none: multiple: xs:
    let hits = filter pred xs; in
    if hits == [ ] then none else if length hits > 1 then multiple else head hits;
  zipListsWith = f: a: b: genList (i: f (elemAt a i) (elemAt b i)) (lib.min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  sortOn = key: sort (a: b: key a < key b);
  naturalSort = sort (a: b: builtins.compareVersions a b < 0);
  compareLists = cmp: a: b:
    if a == [ ] then (if b == [ ] then 0 else -1) else if b == [ ] then 1
    else let rel = cmp (head a) (head b); in if rel == 0 then compareLists cmp (tail a) (tail b) else rel;

  # Depth first, so that `before a b` puts a ahead of b; on a cycle the answer names its members.
  toposort = before: xs:
    let
      visit = trail: state: x:
        if state ? cycle || elem x state.result then state
        else if elem x trail then { inherit (state) result; cycle = trail ++ [ x ]; loops = [ x ]; }
        else let
          next = foldl' (visit (trail ++ [ x ])) state (filter (y: y != x && before y x) xs);
        in if next ? cycle then next else { result = next.result ++ [ x ]; };
      done = foldl' (visit [ ]) { result = [ ]; } xs;
    in if done ? cycle then removeAttrs done [ "result" ] else done;
}
