package org.pocketfleet.bundle;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * A bundle's files in a zip, which may be hostile: names that are paths, names that come twice, and
 * more bytes than a bundle can have are refused before anything of it is used, and sizes that the
 * zip states are not believed.
 */
final class ZipFiles implements BundleFiles {
  private static final int MAX_ENTRIES = 64;
  private static final long MAX_TOTAL_BYTES = Integer.MAX_VALUE;
  private static final int BLOCK = 1 << 16;

  private final Source source;
  private final Map<String, Integer> sizes = new LinkedHashMap<>();

  /** The bytes of a zip, from the beginning each time. */
  interface Source {
    InputStream open() throws IOException;
  }

  ZipFiles(Source source) throws BundleException {
    this.source = source;
    try (ZipInputStream zip = new ZipInputStream(source.open())) {
      byte[] block = new byte[BLOCK];
      long total = 0;
      for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        String name = plain(entry.getName());
        int size = 0;
        for (int count = zip.read(block); count >= 0; count = zip.read(block)) {
          size += count;
          total += count;
          if (total > MAX_TOTAL_BYTES) {
            throw new BundleException("it unpacks to more than " + MAX_TOTAL_BYTES + " bytes");
          }
        }
        if (sizes.put(name, size) != null) {
          throw new BundleException("it holds " + name + " twice");
        }
        if (sizes.size() > MAX_ENTRIES) {
          throw new BundleException("it holds more than " + MAX_ENTRIES + " files");
        }
      }
    } catch (IOException | IllegalArgumentException error) {
      throw new BundleException("it is not a whole zip: " + error.getMessage(), error);
    }
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(sizes.keySet());
  }

  @Override
  public ByteBuffer read(String name, int limit) throws BundleException {
    Integer size = sizes.get(name);
    if (size == null) {
      throw new BundleException(name + " is missing");
    }
    if (size > limit) {
      throw new BundleException(
          name + " has " + size + " bytes, more than the " + limit + " expected");
    }
    try (ZipInputStream zip = new ZipInputStream(source.open())) {
      for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        if (entry.getName().equals(name)) {
          return copy(zip, size);
        }
      }
      throw new EOFException("it is gone");
    } catch (IOException | IllegalArgumentException error) {
      throw new BundleException(name + " cannot be read: " + error.getMessage(), error);
    }
  }

  private static ByteBuffer copy(InputStream in, int size) throws IOException {
    ByteBuffer data = ByteBuffer.allocateDirect(size);
    byte[] block = new byte[BLOCK];
    while (data.hasRemaining()) {
      int count = in.read(block, 0, Math.min(block.length, data.remaining()));
      if (count < 0) {
        throw new EOFException("it became shorter");
      }
      data.put(block, 0, count);
    }
    data.flip();
    return data;
  }

  private static String plain(String name) throws BundleException {
    boolean plain = !name.isEmpty() && !name.equals(".") && !name.equals("..");
    for (int at = 0; at < name.length(); at++) {
      plain &= "/\\\0".indexOf(name.charAt(at)) < 0;
    }
    if (!plain) {
      throw new BundleException("it holds '" + name + "', which is not a plain file name");
    }
    return name;
  }
}
