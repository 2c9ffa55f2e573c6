package org.pocketfleet.state;

import java.io.Closeable;
import java.nio.ByteBuffer;
import java.util.List;

/** A finished reply: what announces it, and its objects, read one at a time. */
public interface OutgoingReply extends Closeable {
  /** The request that announces it, as bytes. */
  byte[] announcement();

  /** Its objects' ids, in the order in which they are to be sent. */
  List<String> objectIds();

  /**
   * An object's bytes.
   *
   * @throws StateException they cannot be read
   */
  ByteBuffer read(String objectId) throws StateException;

  /** How many bytes an object has. */
  int size(String objectId);

  @Override
  void close();
}
