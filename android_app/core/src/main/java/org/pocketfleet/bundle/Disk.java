package org.pocketfleet.bundle;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * What a bundle store does to the disk. Each call has lasted when it returns, so that a device that
 * loses power finds what was done and nothing else.
 */
class Disk {
  /** Writes a new file. */
  void write(File file, ByteBuffer data) throws IOException {
    try (FileChannel channel =
        FileChannel.open(file.toPath(), StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)) {
      ByteBuffer left = data.duplicate();
      while (left.hasRemaining()) {
        channel.write(left);
      }
      channel.force(true);
    }
  }

  /** Renames a file or directory; what had the new name, if it is a file, is replaced. */
  void rename(File from, File to) throws IOException {
    Files.move(from.toPath(), to.toPath(), StandardCopyOption.ATOMIC_MOVE);
    try (FileChannel directory =
        FileChannel.open(to.getParentFile().toPath(), StandardOpenOption.READ)) {
      directory.force(true);
    } catch (IOException error) {
      // Some systems let nobody open a directory. The rename itself was done at once.
      if (Files.notExists(to.toPath())) {
        throw error;
      }
    }
  }

  /** Makes a directory. */
  void makeDirectory(File directory) throws IOException {
    Files.createDirectories(directory.toPath());
  }

  /** Deletes a file, or a directory and all that is in it. */
  void delete(File file) throws IOException {
    File[] children = Files.isSymbolicLink(file.toPath()) ? null : file.listFiles();
    if (children != null) {
      for (File child : children) {
        delete(child);
      }
    }
    try {
      Files.delete(file.toPath());
    } catch (NoSuchFileException gone) {
      // That was the aim.
    }
  }
}
