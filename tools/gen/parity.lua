-- Writes docs/parity.md from tools/gen/parity_rows.txt. With --check it fails when the file in the tree is
-- not that text. spec/parity_spec.lua checks what the rows say.
-- usage: lua5.4 tools/gen/parity.lua [--check]
package.path = "tools/gen/?.lua;" .. package.path
local page = require "page"
local parity = require "parity_table"

local generator = "tools/gen/parity.lua"

local function code(text)
  return "`" .. text .. "`"
end

local function link(path)
  return ("[%s](../%s)"):format(path:gsub("^spec/", ""):gsub("^host/test/", ""), path)
end

local function joined(list, format)
  local out = {}
  for i, item in ipairs(list) do
    out[i] = format(item)
  end
  return table.concat(out, ", ")
end

local function here(row)
  if row.state == "missing" then
    return "**missing**"
  end
  return row.state == "needless" and "-" or joined(row.ours, code)
end

local counts = { there = 0, missing = 0, needless = 0 }
local body, summary = {}, {}
for _, section in ipairs(parity.read()) do
  local own = { there = 0, missing = 0, needless = 0 }
  table.move({ "", "## " .. section.title, "", "| name | in Lua | spec | |", "|---|---|---|---|" },
    1, 5, #body + 1, body)
  local plain = section.title:match "^Features"
  for _, row in ipairs(section.rows) do
    own[row.state] = own[row.state] + 1
    counts[row.state] = counts[row.state] + 1
    body[#body + 1] = ("| %s | %s | %s | %s |"):format(
      plain and row.name or code(row.name), here(row), joined(row.specs, link), row.note or "")
  end
  summary[#summary + 1] = ("| %s | %d | %d | %d |"):format(
    section.title, own.there, own.missing, own.needless)
end

local lines = {
  page.opening(parity.path, generator),
  "# Parity",
  "",
  "What users of other SDKs know, and what it is called here: a row for each public name of the Python SDK, and for",
  "features that only others have. Each name in the second column exists, and the spec in the third uses it",
  "(`spec/parity_spec.lua` checks both). \"-\" is what Lua does not need, for the reason in the last column.",
  "",
  "How names are written: `f{option}` is an option of `f`, `thing.field` a field, `thing:method` a method, text in",
  "quotes a value of an option.",
  "",
  "| section | there | missing | not needed |",
  "|---|---|---|---|",
}
table.move(summary, 1, #summary, #lines + 1, lines)
lines[#lines + 1] = ("| all | %d | %d | %d |"):format(counts.there, counts.missing, counts.needless)
table.move(body, 1, #body, #lines + 1, lines)
page.finish("docs/parity.md", table.concat(lines, "\n") .. "\n", generator)
