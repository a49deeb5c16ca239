/* os.time, os.date, os.clock and os.difftime on the workflow's time, always UTC and in the C
 * locale. See sandbox.def.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/run_int.h"

#include <stdio.h>
#include <string.h>

#include "base/world.h"

/* --- calendar --------------------------------------------------------------------------------- */

struct date {
    int64_t year;
    int month, day; /* 1.. */
    int hour, minute, second;
    int weekday; /* 0: Sunday */
    int yearday; /* 0: January 1st */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar; month in 1..12. */
static int64_t days_of(int64_t year, int month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(y, 400), in_era = y - era * 400;
    int shifted = (month + 9) % 12; /* March is 0 */
    int64_t day_of_year = (153 * shifted + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

static void date_of(int64_t seconds, struct date *d)
{
    int64_t days = floor_div(seconds, 86400), rest = seconds - days * 86400;
    d->hour = (int)(rest / 3600);
    d->minute = (int)(rest / 60 % 60);
    d->second = (int)(rest % 60);
    d->weekday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    int64_t z = days + 719468, era = floor_div(z, 146097), of_era = z - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (int)((5 * day_of_year + 2) / 153);
    d->day = (int)(day_of_year - (153 * shifted + 2) / 5) + 1;
    d->month = shifted < 10 ? shifted + 3 : shifted - 9;
    d->year = year_of_era + era * 400 + (d->month <= 2);
    d->yearday = (int)(days - days_of(d->year, 1, 1));
}

static int64_t now_seconds(lua_State *L)
{
    tl_shared_check(L, "the time");
#ifdef TL_SANDBOX_SWITCH
    if (TL_WITHOUT(19)) {
        return tl_without_now();
    }
#endif
    return floor_div(tl_run_of(L)->now_ns, TL_NS_PER_S);
}

/* --- os.time ---------------------------------------------------------------------------------- */

static int64_t time_field(lua_State *L, const char *key, int64_t absent)
{
    int type = lua_getfield(L, 1, key), exact = 0;
    lua_Integer v = lua_tointegerx(L, -1, &exact);
    if (!exact) {
        if (type != LUA_TNIL) {
            luaL_error(L, "field '%s' is not an integer", key);
        }
        if (absent < 0) {
            luaL_error(L, "field '%s' missing in date table", key);
        }
        v = absent;
    }
    if (v < -INT32_MAX || v > INT32_MAX) {
        luaL_error(L, "field '%s' is out-of-bound", key);
    }
    lua_pop(L, 1);
    return v;
}

static void set_field(lua_State *L, const char *key, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

/* Fills the table on top. */
static void set_fields(lua_State *L, const struct date *d)
{
    set_field(L, "year", d->year);
    set_field(L, "month", d->month);
    set_field(L, "day", d->day);
    set_field(L, "hour", d->hour);
    set_field(L, "min", d->minute);
    set_field(L, "sec", d->second);
    set_field(L, "yday", d->yearday + 1);
    set_field(L, "wday", d->weekday + 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "isdst");
}

int tl_lib_os_time(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_pushinteger(L, now_seconds(L));
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    int64_t year = time_field(L, "year", -1), month = time_field(L, "month", -1);
    int64_t day = time_field(L, "day", -1), hour = time_field(L, "hour", 12);
    int64_t minute = time_field(L, "min", 0), second = time_field(L, "sec", 0);
    /* Months beyond the year count on, as mktime does. */
    year += floor_div(month - 1, 12);
    month = (month - 1) - floor_div(month - 1, 12) * 12 + 1;
    int64_t t = days_of(year, (int)month, day) * 86400 + hour * 3600 + minute * 60 + second;
    struct date d;
    date_of(t, &d);
    set_fields(L, &d);
    lua_pushinteger(L, t);
    return 1;
}

int tl_lib_os_clock(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    tl_shared_check(L, "os.clock");
    lua_pushnumber(L, (lua_Number)(run->now_ns - run->start_ns) / 1e9);
    return 1;
}

int tl_lib_os_difftime(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)luaL_checkinteger(L, 1) - (lua_Number)luaL_checkinteger(L, 2));
    return 1;
}

/* --- os.date ---------------------------------------------------------------------------------- */

static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};

/* ISO 8601 week and the year it belongs to. */
static int iso_week(const struct date *d, int64_t *year)
{
    int monday_based = (d->weekday + 6) % 7;
    int week = (d->yearday - monday_based + 10) / 7;
    *year = d->year;
    if (week < 1) {
        --*year;
        int days = leap(*year) ? 366 : 365;
        return (d->yearday + days - monday_based + 10) / 7;
    }
    int days = leap(d->year) ? 366 : 365;
    if (week == 53 && d->yearday - monday_based + 3 >= days) {
        ++*year;
        return 1;
    }
    return week;
}

/* What a conversion that stands for several others expands to; NULL: it is a simple one. */
static const char *expansion(char c)
{
    switch (c) {
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'r':
        return "%I:%M:%S %p";
    case 'R':
        return "%H:%M";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    default:
        return NULL;
    }
}

/* Conversions that give a number: how wide, filled with what. */
static const struct {
    char letter;
    char fill; /* '0', ' ', or '\0' for no width */
    int width;
} number_forms[] = {
    {'C', '0', 2},  {'d', '0', 2}, {'e', ' ', 2},  {'g', '0', 2},  {'G', '\0', 0},
    {'H', '0', 2},  {'I', '0', 2}, {'j', '0', 3},  {'m', '0', 2},  {'M', '0', 2},
    {'s', '\0', 0}, {'S', '0', 2}, {'u', '\0', 0}, {'U', '0', 2},  {'V', '0', 2},
    {'w', '\0', 0}, {'W', '0', 2}, {'y', '0', 2},  {'Y', '\0', 0},
};

static int64_t number_of(const struct date *d, int64_t t, char letter)
{
    int64_t iso_year;
    int week = iso_week(d, &iso_year);
    switch (letter) {
    case 'C':
        return floor_div(d->year, 100);
    case 'd':
    case 'e':
        return d->day;
    case 'g':
        return iso_year - floor_div(iso_year, 100) * 100;
    case 'G':
        return iso_year;
    case 'H':
        return d->hour;
    case 'I':
        return d->hour % 12 ? d->hour % 12 : 12;
    case 'j':
        return d->yearday + 1;
    case 'm':
        return d->month;
    case 'M':
        return d->minute;
    case 's':
        return t;
    case 'S':
        return d->second;
    case 'u':
        return d->weekday ? d->weekday : 7;
    case 'U':
        return (d->yearday + 7 - d->weekday) / 7;
    case 'V':
        return week;
    case 'w':
        return d->weekday;
    case 'W':
        return (d->yearday + 7 - (d->weekday + 6) % 7) / 7;
    case 'y':
        return d->year - floor_div(d->year, 100) * 100;
    default:
        return d->year;
    }
}

/* Conversions that give text; at most `max` characters of it. NULL: none of that letter. */
static const char *text_of(const struct date *d, char letter, int *max)
{
    *max = letter == 'a' || letter == 'b' || letter == 'h' ? 3 : 20;
    switch (letter) {
    case 'a':
    case 'A':
        return day_names[d->weekday];
    case 'b':
    case 'B':
    case 'h':
        return month_names[d->month - 1];
    case 'n':
        return "\n";
    case 'p':
        return d->hour < 12 ? "AM" : "PM";
    case 't':
        return "\t";
    case 'z':
        return "+0000";
    case 'Z':
        return "UTC";
    case '%':
        return "%";
    default:
        return NULL;
    }
}

/* Text of a simple conversion; false when there is none of that letter. */
static bool convert(const struct date *d, int64_t t, char letter, char *out, size_t cap)
{
    int max;
    const char *text = text_of(d, letter, &max);
    if (text) {
        snprintf(out, cap, "%.*s", max, text);
        return true;
    }
    for (size_t i = 0; i < sizeof number_forms / sizeof *number_forms; i++) {
        if (number_forms[i].letter == letter) {
            long long n = number_of(d, t, letter);
            if (number_forms[i].fill == '0') {
                snprintf(out, cap, "%0*lld", number_forms[i].width, n);
            } else {
                snprintf(out, cap, "%*lld", number_forms[i].width, n);
            }
            return true;
        }
    }
    return false;
}

static void add_date(lua_State *L, luaL_Buffer *b, const struct date *d, int64_t t, const char *f,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i] != '%') {
            luaL_addchar(b, f[i]);
            continue;
        }
        i++;
        if (i < n && (f[i] == 'E' || f[i] == 'O')) {
            i++; /* the alternative forms of the C locale are the plain ones */
        }
        char c = i < n ? f[i] : '\0';
        const char *longer = c ? expansion(c) : NULL;
        char text[32];
        if (longer) {
            add_date(L, b, d, t, longer, strlen(longer));
        } else if (c && convert(d, t, c, text, sizeof text)) {
            luaL_addstring(b, text);
        } else {
            luaL_error(L, "os.date: invalid conversion specifier '%%%c'", c ? c : ' ');
        }
    }
}

int tl_lib_os_date(lua_State *L)
{
    size_t n;
    const char *f = luaL_optlstring(L, 1, "%c", &n);
    int64_t t = lua_isnoneornil(L, 2) ? now_seconds(L) : luaL_checkinteger(L, 2);
    struct date d;
    if (t > INT64_C(67767976233532799) || t < -INT64_C(67768040609740800)) {
        return luaL_error(L, "date result cannot be represented in this installation");
    }
    if (n && *f == '!') {
        f++;
        n--;
    }
    date_of(t, &d);
    if (n >= 2 && memcmp(f, "*t", 2) == 0) {
        lua_createtable(L, 0, 9);
        set_fields(L, &d);
        return 1;
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    add_date(L, &b, &d, t, f, n);
    luaL_pushresult(&b);
    return 1;
}
