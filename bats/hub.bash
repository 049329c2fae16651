# A stand-in for the hub, for the tests of login.pl to load.
# shellcheck shell=bash

# shellcheck source=pod.bash
load pod

# start_hub: have a hub, $HUB, that runs here by sh, in $WORK, what each login asks for, on the login's own streams, and
# tells its status. A job whose login goes gets TERM. Hosts are noted in $BED/calls, a line each, and the jobs' numbers
# in $BED/calls-numbers. The host `lost` gets no answer the first time.
start_hub() {
  python3 - "$WOMM_RUN/hub" "$BED/calls" "$WORK" <<'PYTHON' >"$BED/hub-log" 2>&1 3>&- &
import os, socket, struct, subprocess, sys, threading
path, calls, work = sys.argv[1:]
# As in a pod: GNU parallel's worker runs the job by $SHELL, and without one it does nothing, with status 0.
environment = {**os.environ, "SHELL": "/bin/sh"}

def kill_when_gone(login, job):
    try:
        login.recv(1)
    except OSError:
        pass
    # Its session: GNU parallel's worker is a process group of its own.
    if job.poll() is None:
        subprocess.run(["pkill", "-TERM", "-s", str(job.pid)])

def serve(login):
    text, streams, _, _ = socket.recv_fds(login, 65536, 3)
    while len(text) < 4 or len(text) < 4 + struct.unpack("<I", text[:4])[0]:
        text += login.recv(65536)
    host, number, command = text[4:].split(b"\0", 2)
    with open(calls, "a+b", 0) as file:
        file.seek(0)
        lost = host == b"lost" and host not in file.read().split()
        file.write(host + b"\n")
    with open(f"{calls}-numbers", "ab", 0) as file:
        file.write(number + b"\n")
    if lost:
        job = None
    else:
        stdin, stdout, stderr = streams
        job = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=work, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True, env=environment
        )
        threading.Thread(target=kill_when_gone, args=(login, job), daemon=True).start()
    for stream in streams:
        os.close(stream)
    if job is not None:
        status = job.wait()
        try:
            login.sendall(struct.pack("<I", status if status >= 0 else 128 - status))
        except OSError:
            pass
    try:
        login.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    login.close()

listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".new")
listener.listen(64)
os.rename(path + ".new", path)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PYTHON
  HUB=$!
  disown
  touch "$BED/calls"
  eventually test -S "$WOMM_RUN/hub"
}

# stop_hub: end it, if there is one.
stop_hub() {
  [[ -z ${HUB:-} ]] || kill -KILL "$HUB" 2>/dev/null || true
}
