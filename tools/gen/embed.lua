-- Writes Lua files below a folder as a C table (luahost/embedded.h, luart/shared.h).
-- usage: lua5.4 embed.lua OUTPUT.c HEADER NAME FOLDER FILE...   (files relative to the folder); the table is
-- tl_NAME_files, of struct tl_NAME_file
local output, header, name, folder = arg[1], arg[2], arg[3], arg[4]
local files = table.move(arg, 5, #arg, 1, {})
table.sort(files)

local function bytes_of(text)
  local out = {}
  for i = 1, #text, 20 do
    local row = {}
    for j = i, math.min(i + 19, #text) do
      row[#row + 1] = text:byte(j)
    end
    out[#out + 1] = "    " .. table.concat(row, ", ") .. ","
  end
  return table.concat(out, "\n")
end

local out = {
  "/* generated from lua/ by tools/gen/embed.lua - do not edit */",
  ('#include "%s"'):format(header),
  "",
}
local rows = {}
for i, file in ipairs(files) do
  local handle = assert(io.open(folder .. "/" .. file, "rb"))
  local text = handle:read "a"
  handle:close()
  local module = file:gsub("%.lua$", ""):gsub("/", "."):gsub("%.init$", "")
  out[#out + 1] = ("static const char file_%d[] = {\n%s\n    0};\n"):format(i, bytes_of(text))
  rows[#rows + 1] = ('    {"%s", "@%s", file_%d, %d},'):format(module, file, i, #text)
end
rows[#rows + 1] = "    {NULL, NULL, NULL, 0},"
rows[#rows + 1] = "};\n"
out[#out + 1] = ("const struct tl_%s_file tl_%s_files[] = {\n"):format(name, name) .. table.concat(rows, "\n")
local handle = assert(io.open(output, "wb"))
handle:write(table.concat(out, "\n"))
handle:close()
