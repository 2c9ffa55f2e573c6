package org.pocketfleet.state;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.Set;

/** Keeps other clients, of this process and of others, out of a state directory. */
final class DirectoryLock implements Closeable {
  /**
   * Directories held by this process: the system's locks are between processes, and closing any
   * channel of the file would give ours up.
   */
  private static final Set<String> HELD = new HashSet<>();

  private final String path;
  private final FileChannel channel;

  private DirectoryLock(String path, FileChannel channel) {
    this.path = path;
    this.channel = channel;
  }

  /**
   * Locks a directory.
   *
   * @throws StateInUseException another client has it
   * @throws IOException it cannot be locked
   */
  static DirectoryLock take(File directory) throws IOException, StateInUseException {
    String path = directory.getCanonicalPath();
    synchronized (HELD) {
      File file = new File(directory, "lock");
      if (HELD.contains(path)) {
        throw inUse(directory, "process " + processId());
      }
      FileChannel channel =
          FileChannel.open(
              file.toPath(),
              StandardOpenOption.READ,
              StandardOpenOption.WRITE,
              StandardOpenOption.CREATE);
      boolean locked = false;
      try {
        if (channel.tryLock() == null) {
          byte[] holder = Files.readAllBytes(file.toPath());
          throw inUse(directory, "process " + new String(holder, StandardCharsets.US_ASCII));
        }
        channel.truncate(0);
        channel.write(ByteBuffer.wrap(processId().getBytes(StandardCharsets.US_ASCII)));
        locked = true;
      } finally {
        if (!locked) {
          channel.close();
        }
      }
      HELD.add(path);
      return new DirectoryLock(path, channel);
    }
  }

  @Override
  public void close() {
    synchronized (HELD) {
      try {
        channel.close();
      } catch (IOException lockEndsWithTheProcess) {
        return;
      }
      HELD.remove(path);
    }
  }

  private static StateInUseException inUse(File directory, String holder) {
    return new StateInUseException(
        directory
            + ": another client ("
            + holder
            + ") is using this state directory; stop it, or give each client a directory of its own"
            + " with --state");
  }

  /** Linux and Android have it as the name of a link; Java 8 has no better way. */
  private static String processId() throws IOException {
    return new File("/proc/self").getCanonicalFile().getName();
  }
}
