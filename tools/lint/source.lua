-- Shared by the lint programs: the files of the tree, their lines, C without comments and strings.
local source = {}

-- Files that git tracks or would track, with one of the extensions; sorted.
function source.files(...)
    local wanted = {}
    for _, extension in ipairs { ... } do
        wanted[extension] = true
    end
    local list = {}
    local pipe = assert(io.popen("git ls-files -co --exclude-standard", "r"))
    for path in pipe:lines() do
        local extension = path:match("%.([%w_]+)$") or ""
        if next(wanted) == nil or wanted[extension] then
            local file = io.open(path, "rb")
            if file and file:read(0) then
                list[#list + 1] = path
            end
            if file then
                file:close()
            end
        end
    end
    assert(pipe:close(), "git ls-files failed")
    table.sort(list)
    return list
end

function source.read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("a")
    file:close()
    return text
end

function source.lines(text)
    local list = {}
    for line in (text .. (text:sub(-1) == "\n" and "" or "\n")):gmatch("(.-)\n") do
        list[#list + 1] = line
    end
    return list
end

-- C text whose comments and literals are blanked; line breaks stay, so line numbers do too.
function source.strip_c(text)
    local out, at = {}, 1
    local function blank(piece)
        return (piece:gsub("[^\n]", " "))
    end
    while at <= #text do
        local first = text:find("[/\"']", at)
        if not first then
            out[#out + 1] = text:sub(at)
            break
        end
        out[#out + 1] = text:sub(at, first - 1)
        local two = text:sub(first, first + 1)
        local last
        if two == "/*" then
            last = select(2, text:find("*/", first + 2, true)) or #text
            out[#out + 1] = blank(text:sub(first, last))
        elseif two == "//" then
            last = (text:find("\n", first, true) or #text + 1) - 1
            out[#out + 1] = blank(text:sub(first, last))
        elseif two:sub(1, 1) == "/" then
            last = first
            out[#out + 1] = "/"
        else
            local quote = two:sub(1, 1)
            last = first + 1
            while last <= #text and text:sub(last, last) ~= quote do
                last = last + (text:sub(last, last) == "\\" and 2 or 1)
            end
            out[#out + 1] = quote .. blank(text:sub(first + 1, last - 1)) .. quote
        end
        at = last + 1
    end
    return table.concat(out)
end

-- Collects problems; `finish` prints them and ends the program.
function source.reporter(name)
    local problems = {}
    local reporter = {}
    function reporter.add(path, line, message, ...)
        problems[#problems + 1] = ("%s:%d: %s"):format(path, line, message:format(...))
    end
    function reporter.count()
        return #problems
    end
    function reporter.finish(checked)
        for _, problem in ipairs(problems) do
            print(problem)
        end
        print(("%s: %d checked, %d problems"):format(name, checked, #problems))
        os.exit(#problems == 0 and checked > 0)
    end
    return reporter
end

return source
