package org.pocketfleet.bundle;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;

/** A bundle's files in a directory. They are mapped into memory, not copied. */
final class DirectoryFiles implements BundleFiles {
  private final Path directory;
  private final Set<String> names;

  DirectoryFiles(File directory) throws BundleException {
    String[] entries = directory.list();
    if (entries == null) {
      throw new BundleException("the directory cannot be read");
    }
    this.directory = directory.toPath();
    this.names = Collections.unmodifiableSet(new TreeSet<>(Arrays.asList(entries)));
  }

  @Override
  public Set<String> names() {
    return names;
  }

  @Override
  public ByteBuffer read(String name, int limit) throws BundleException {
    Path file = directory.resolve(name);
    // Asked before it is opened: opening a pipe would wait for its other end.
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new BundleException(name + " is not a regular file");
    }
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      long size = channel.size();
      if (size > limit) {
        throw new BundleException(
            name + " has " + size + " bytes, more than the " + limit + " expected");
      }
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, size);
    } catch (NoSuchFileException missing) {
      throw new BundleException(name + " is missing", missing);
    } catch (IOException error) {
      throw new BundleException(name + " cannot be read: " + error.getMessage(), error);
    }
  }
}
