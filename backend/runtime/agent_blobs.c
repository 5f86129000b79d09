// A blob is a file of the cache's folder, named by the agent itself: no name comes over the link.
#define _GNU_SOURCE
#include "agent_blobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "sha256.h"

static int has_digest(const void *data, const Blob *blob) {
  uint8_t digest[DIGEST_BYTES];
  sha256(data, blob->bytes, digest);
  return !memcmp(digest, blob->digest, sizeof digest);
}

static void name_of(const Blob *blob, char name[2 * DIGEST_BYTES + 1]) {
  for (int i = 0; i < DIGEST_BYTES; i++) snprintf(name + 2 * i, 3, "%02x", blob->digest[i]);
}

int find_blob(const Blob *blob, void *into) {
  char name[2 * DIGEST_BYTES + 1];
  name_of(blob, name);
  int folder = agent.cache ? open(agent.cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  int file = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (folder >= 0) close(folder);
  if (file < 0) return 0;
  uint64_t done = 0;
  for (ssize_t count; done < blob->bytes && (count = read(file, (uint8_t *)into + done, blob->bytes - done)) > 0;) done += (uint64_t)count;
  close(file);
  return done == blob->bytes && has_digest(into, blob);
}

int keep_blob(const Blob *blob, const void *from, const char **problem) {
  if (!has_digest(from, blob)) {
    *problem = "a blob is not what its digest says";
    return 0;
  }
  if (!agent.cache) return 0;
  char name[2 * DIGEST_BYTES + 1], temporary[64];
  name_of(blob, name);
  snprintf(temporary, sizeof temporary, "tmp.%d", getpid());
  mkdir(agent.cache, 0700);
  int folder = open(agent.cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int file = folder < 0 ? -1 : openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  uint64_t done = 0;
  for (ssize_t count; file >= 0 && done < blob->bytes && (count = write(file, (const uint8_t *)from + done, blob->bytes - done)) > 0;)
    done += (uint64_t)count;
  int kept = file >= 0 && done == blob->bytes && !fsync(file) && !renameat(folder, temporary, folder, name);
  if (file >= 0) close(file);
  if (file >= 0 && !kept) unlinkat(folder, temporary, 0);
  if (folder >= 0) close(folder);
  return kept;
}
