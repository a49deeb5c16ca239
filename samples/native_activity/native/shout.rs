// A native activity in Rust: "shout" answers a text in capitals. Build it with
//   rustc --crate-type cdylib -O shout.rs -o libshout.so
// What it uses of temporal_lua.h is declared here by hand; a real project would run bindgen on the header.
use std::ffi::{c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicPtr, Ordering};

#[repr(C)]
struct Bytes {
    data: *const c_char,
    size: usize,
}

#[repr(C)]
struct Payload {
    encoding: Bytes,
    data: Bytes,
}

type Activity = c_void;
type Module = c_void;
type ActivityFn = extern "C" fn(*mut Activity, *mut c_void);

// The head of tlua_host_api, as far as this module goes; `size` says that the host has at least that.
#[repr(C)]
struct HostApi {
    abi: u32,
    size: usize,
    register_activity: extern "C" fn(*mut Module, *const c_char, ActivityFn, *mut c_void) -> c_int,
    on_unload: *const c_void,
    set_error: *const c_void,
    info: *const c_void,
    input_count: *const c_void,
    input: extern "C" fn(*mut Activity, usize, *mut Payload) -> c_int,
    heartbeat_details_count: *const c_void,
    heartbeat_details: *const c_void,
    put_json: extern "C" fn(*mut Activity, c_int, *const c_char, usize) -> c_int,
}

const RESULT: c_int = 0;
const EINTERNAL: c_int = -11;

static HOST: AtomicPtr<HostApi> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn shout(a: *mut Activity, _: *mut c_void) {
    // No panic may cross into the host. What went wrong before anything was put completes without a value.
    let _ = catch_unwind(|| unsafe {
        let host = &*HOST.load(Ordering::Acquire);
        let mut p: Payload = std::mem::zeroed();
        if (host.input)(a, 0, &mut p) == 0 {
            let json = std::slice::from_raw_parts(p.data.data as *const u8, p.data.size);
            let loud = String::from_utf8_lossy(json).to_uppercase();
            (host.put_json)(a, RESULT, loud.as_ptr() as *const c_char, loud.len());
        }
    });
}

#[no_mangle]
pub extern "C" fn tlua_module_v1(api: *const c_void, m: *mut Module) -> c_int {
    let api = api as *mut HostApi;
    if unsafe { (*api).size } < std::mem::size_of::<HostApi>() {
        return EINTERNAL;
    }
    HOST.store(api, Ordering::Release);
    unsafe { ((*api).register_activity)(m, b"shout\0".as_ptr() as *const c_char, shout, std::ptr::null_mut()) }
}
