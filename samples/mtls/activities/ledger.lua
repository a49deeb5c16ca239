local activity = require "temporal.activity"

--- Books an amount on an account; returns the line that it wrote.
return activity.define("book", function(account, amount)
  return ("%s %+d"):format(account, amount)
end)
