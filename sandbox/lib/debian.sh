# shellcheck shell=bash
# Debian's archive for things that are made here, by the machine's own mirrors: the base image, and Kubernetes' source.

# mirrors: print "URI CODENAME" of each mirror of Debian's main that this machine's apt knows.
mirrors() {
  # shellcheck disable=SC2016 # apt's variables, not the shell's
  local format='$(REPO_URI) $(CODENAME)'
  apt-get indextargets --format "$format" 'Created-By: Packages' 'Origin: Debian' 'Component: main'
}

# suite_sources: print apt sources of the type $1 (deb, deb-src) for $SUITE and its updates: the machine's own mirrors.
# None if it has none.
suite_sources() {
  mirrors | awk -v t="$1" -v s="$SUITE" '$2 == s || $2 == s "-updates" || $2 == s "-security" {print t, $1, $2, "main"}' |
    sort -u
}

# get_source: bring Kubernetes' source package into the directory $1, unless it is there. apt's settings stay as they
# are: the lists are in a directory of our own. Exit 1 with the reason on stderr.
get_source() {
  local work=$1.part options
  [[ ! -d $1 ]] || return 0
  rm -rf "$work"
  mkdir -p "$work/lists/partial" "$work/files"
  suite_sources deb-src >"$work/sources.list"
  [[ -s $work/sources.list ]] ||
    die "this machine's apt knows no mirror of Debian's $SUITE" "run it on Debian 12, or apt-get update"
  options=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$work/files" && apt-get "${options[@]}" source --download-only kubernetes)
  # Debian's own version says which release it is in truth.
  compgen -G "$work/files/kubernetes_*really$(full_version | tr -d v)-*.dsc" >/dev/null ||
    die "Debian's source package is not Kubernetes $(full_version)" "it is $(cd "$work/files" && echo *.dsc)"
  mv "$work/files" "$1"
  rm -rf "$work"
}
